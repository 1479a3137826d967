package workspace

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"nixos-staged-hive/internal/pin"
	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/need"
)

var serial atomic.Int64

// unique is text no other tree has, in this run or an earlier one.
func unique() string {
	return strconv.FormatInt(time.Now().UnixNano(), 36) + "-" + strconv.FormatInt(serial.Add(1), 36)
}

func nixosTree() map[string]string {
	return map[string]string{"nixos/lib/eval-config.nix": "{ }", "lib/.version": "24.05", "content": unique()}
}

func diskoTree() map[string]string {
	return map[string]string{"module.nix": "{ }", "version.nix": `{ version = "1.8.2"; _released = true; }`, "content": unique()}
}

// pinned is a workspace with two hosts whose pins are folders in it.
func pinned(t *testing.T) *Pinner {
	t.Helper()
	need.Store(t)
	files := map[string]string{
		"nixConfigs/web1.nix": "{ }",
		"nixConfigs/web2.nix": "{ }",
		"versions.json":       `{"nixos": "./nixpkgs", "disko": "./disko"}`,
	}
	for name, content := range nixosTree() {
		files["nixpkgs/"+name] = content
	}
	for name, content := range diskoTree() {
		files["disko/"+name] = content
	}
	return open(t, folder(t, files))
}

func open(t *testing.T, dir string) *Pinner {
	t.Helper()
	w, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return &Pinner{Workspace: w, Run: run.Local{}}
}

// rewrite changes versions.json and reads it again.
func rewrite(t *testing.T, p *Pinner, versions string) {
	t.Helper()
	put(t, p.Workspace.File(VersionsName), versions, false)
	w, err := Open(p.Workspace.Dir)
	if err != nil {
		t.Fatal(err)
	}
	p.Workspace = w
}

func pins(t *testing.T, p *Pinner, hosts ...string) Pins {
	t.Helper()
	got, err := p.Pins(t.Context(), hosts...)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func lockText(t *testing.T, p *Pinner) string {
	t.Helper()
	b, err := os.ReadFile(p.Workspace.File(LockName))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// watched counts the programs that run and keeps the events.
type watched struct {
	mu       sync.Mutex
	programs []string
	events   []progress.Event
}

func (w *watched) Run(ctx context.Context, c run.Command) error {
	w.mu.Lock()
	w.programs = append(w.programs, c.Name)
	w.mu.Unlock()
	return run.Local{}.Run(ctx, c)
}

func (w *watched) sink(e progress.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

func (w *watched) count(program string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, p := range w.programs {
		if p == program {
			n++
		}
	}
	return n
}

func TestFirstUseLocksWithALineThatSaysSo(t *testing.T) {
	p := pinned(t)
	var seen watched
	p.Progress = seen.sink
	got := pins(t, p)
	for _, l := range []pin.Locked{got.NixOS, got.Disko} {
		if _, err := os.Stat(filepath.Join(l.StorePath, "content")); err != nil {
			t.Error(err)
		}
		if !strings.Contains(lockText(t, p), l.NarHash) {
			t.Errorf("%s is not in the lock:\n%s", l.NarHash, lockText(t, p))
		}
	}
	if got.NixOSFor("web1") != got.NixOS {
		t.Error("a host without its own version is not built from the common one")
	}
	said := slices.ContainsFunc(seen.events, func(e progress.Event) bool {
		return e.Task == "lock nixos" && strings.Contains(e.Text, "./nixpkgs was not locked yet: versions.lock.json now has sha256-")
	})
	if !said {
		t.Errorf("no event says so: %+v", seen.events)
	}
}

func TestOnceFetchedOneCheckIsAllThatRuns(t *testing.T) {
	p := pinned(t)
	first := pins(t, p)
	before := lockText(t, p)
	// The trees may even be gone: nothing looks at them.
	if err := errors.Join(os.RemoveAll(p.Workspace.File("nixpkgs")), os.RemoveAll(p.Workspace.File("disko"))); err != nil {
		t.Fatal(err)
	}
	var seen watched
	p.Run, p.Progress = &seen, seen.sink
	second := pins(t, p)
	if second.NixOS != first.NixOS || second.Disko != first.Disko || lockText(t, p) != before {
		t.Errorf("%+v, first %+v", second, first)
	}
	if !slices.Equal(seen.programs, []string{"nix-store"}) || len(seen.events) != 0 {
		t.Errorf("ran %q, said %+v", seen.programs, seen.events)
	}
}

func TestAnEntryOnlyChangesByUpdate(t *testing.T) {
	p := pinned(t)
	first := pins(t, p)
	put(t, p.Workspace.File("nixpkgs", "content"), unique(), false)
	if again := pins(t, p); again.NixOS != first.NixOS {
		t.Error("changed content came in without an update")
	}
	changes, err := p.Update(t.Context(), "nixos")
	if err != nil {
		t.Fatal(err)
	}
	if len(changes) != 1 || !changes[0].Changed() || changes[0].Old.NarHash != first.NixOS.NarHash || changes[0].New.Release != "24.05" {
		t.Errorf("changes %+v", changes)
	}
	now := pins(t, p)
	if now.NixOS.NarHash != changes[0].New.NarHash || now.Disko != first.Disko {
		t.Errorf("after the update %+v", now)
	}
	if to, err := os.Readlink(p.Workspace.File(StateName, "roots", "nixos")); err != nil || to != now.NixOS.StorePath {
		t.Errorf("root %q, %v", to, err)
	}
}

func TestAVersionThatDiffersFromTheLockIsNotTakenSilently(t *testing.T) {
	p := pinned(t)
	pins(t, p)
	before := lockText(t, p)
	rewrite(t, p, `{"nixos": "nixos-24.11", "disko": "../disko"}`)
	_, err := p.Pins(t.Context())
	wantError(t, err, "nixos: versions.json says nixos-24.11, versions.lock.json has ./nixpkgs", "disko: versions.json says ../disko")
	if !strings.Contains(hintOf(err), "versions update nixos") || lockText(t, p) != before {
		t.Errorf("hint %q, lock changed: %v", hintOf(err), lockText(t, p) != before)
	}
	rows, err := p.Show(t.Context())
	if err != nil || rows[0].State != Outdated || rows[0].LockSpec != "./nixpkgs" || rows[0].Spec != "nixos-24.11" {
		t.Errorf("rows %+v, %v", rows, err)
	}
}

func TestHostsCanHaveTheirOwnNixOS(t *testing.T) {
	p := pinned(t)
	for name, content := range nixosTree() {
		put(t, p.Workspace.File("old", name), content, false)
	}
	rewrite(t, p, `{"nixos": "./nixpkgs", "disko": "./disko", "hosts": {"web1": {"nixos": "./old"}, "web2": {"nixos": "./nixpkgs"}}}`)
	only := pins(t, p, "web2")
	if len(only.Hosts) != 0 || strings.Contains(lockText(t, p), "nixos/web1") {
		t.Error("the version of a host that was not asked for was fetched")
	}
	all := pins(t, p)
	if all.NixOSFor("web1") == all.NixOS || all.NixOSFor("web2") != all.NixOS || all.Hosts["web1"].Spec != "./old" {
		t.Errorf("%+v", all)
	}
	if changes, err := p.Update(t.Context(), "web1"); err != nil || len(changes) != 1 || changes[0].New.Pin != "nixos/web1" || changes[0].Changed() {
		t.Errorf("%+v, %v", changes, err)
	}
	rewrite(t, p, `{"nixos": "./nixpkgs", "disko": "./disko"}`)
	if _, err := p.Update(t.Context()); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(lockText(t, p), "nixos/web1") {
		t.Error("an entry that nothing asks for survived a whole update")
	}
	if _, err := os.Lstat(p.Workspace.File(StateName, "roots", "nixos-web1")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its root is still there: %v", err)
	}
}

func TestUpdateRefusesNamesItDoesNotKnow(t *testing.T) {
	p := pinned(t)
	_, err := p.Update(t.Context(), "nixso", "web1", "disko")
	wantError(t, err, "there is no pin nixso (did you mean nixos?)", "host web1 has no version of NixOS of its own")
	if _, err := os.Stat(p.Workspace.File(LockName)); !errors.Is(err, os.ErrNotExist) {
		t.Error("something was locked all the same")
	}
}

func TestK3sIsItsOwnVersion(t *testing.T) {
	p := pinned(t)
	rewrite(t, p, `{"nixos": "./nixpkgs", "disko": "./disko", "k3s": "v1.27.4-k3s1"}`)
	changes, err := p.Update(t.Context(), "k3s")
	if err != nil || len(changes) != 1 || changes[0].New.Rev != "v1.27.4+k3s1" || changes[0].New.Spec != "v1.27.4-k3s1" || changes[0].Changed() {
		t.Errorf("%+v, %v", changes, err)
	}
}

func TestShowTellsWhatIsLockedAndPresent(t *testing.T) {
	p := pinned(t)
	before, err := p.Show(t.Context())
	if err != nil || len(before) != 3 || before[0].State != NotLocked || before[0].Present || before[2].Pin != "k3s" {
		t.Errorf("before: %+v, %v", before, err)
	}
	pins(t, p)
	after, err := p.Show(t.Context())
	if err != nil || after[0].State != Locked || !after[0].Present || after[0].Release != "24.05" || after[1].Release != "1.8.2" {
		t.Errorf("after: %+v, %v", after, err)
	}
	t.Setenv("PATH", t.TempDir())
	if without, err := p.Show(t.Context()); err != nil || without[0].State != Locked || without[0].Present {
		t.Errorf("without nix: %+v, %v", without, err)
	}
}

func TestRefsAreLockedByRevisionAndUpdatedWhenTheBranchMoves(t *testing.T) {
	p := pinned(t)
	repo := newRepository(t)
	p.Disko = pin.Disko()
	p.Disko.Repository = "file://" + repo.dir
	rewrite(t, p, `{"nixos": "./nixpkgs", "disko": "main"}`)
	one := repo.commit(t)
	if got := pins(t, p); got.Disko.Rev != one || !strings.HasSuffix(got.Disko.URL, "/archive/"+one+".tar.gz") {
		t.Errorf("%+v, want revision %s", got.Disko, one)
	}
	two := repo.commit(t)
	if got := pins(t, p); got.Disko.Rev != one {
		t.Error("the branch moved and the pin moved with it")
	}
	changes, err := p.Update(t.Context(), "disko")
	if err != nil || len(changes) != 1 || changes[0].Old.Rev != one || changes[0].New.Rev != two || changes[0].New.Identity() != two[:12] {
		t.Errorf("%+v, %v", changes, err)
	}
}

func TestCollectedSourcesAreFetchedAgainByHash(t *testing.T) {
	p := pinned(t)
	got := pins(t, p)
	collectGarbage(t, p, got.Disko.StorePath)
	if again := pins(t, p); again.Disko != got.Disko {
		t.Errorf("%+v, want %+v", again.Disko, got.Disko)
	}
	collectGarbage(t, p, got.Disko.StorePath)
	put(t, p.Workspace.File("disko", "content"), unique(), false)
	_, err := p.Pins(t.Context())
	if e, ok := errors.AsType[*pin.MismatchError](err); !ok || e.Pin != "disko" {
		t.Errorf("changed content: %v", err)
	}
}

// collectGarbage deletes a path as nix-collect-garbage would after its root was lost.
func collectGarbage(t *testing.T, p *Pinner, storePath string) {
	t.Helper()
	if err := os.RemoveAll(p.Workspace.File(StateName)); err != nil {
		t.Fatal(err)
	}
	if _, err := run.Output(t.Context(), run.Local{}, run.Command{Name: "nix-store", Args: []string{"--delete", storePath}}); err != nil {
		t.Fatal(err)
	}
}

func TestACopiedWorkspaceGetsRootsOfItsOwn(t *testing.T) {
	p := pinned(t)
	got := pins(t, p)
	dir := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(p.Workspace.Dir, dir); err != nil {
		t.Fatal(err)
	}
	moved := open(t, dir)
	pins(t, moved)
	out, err := run.Output(t.Context(), run.Local{}, run.Command{Name: "nix-store", Args: []string{"--query", "--roots", got.Disko.StorePath}})
	if err != nil || !strings.Contains(string(out), dir) {
		t.Errorf("roots %s, %v", out, err)
	}
}

func TestRunsSideBySideFetchOnce(t *testing.T) {
	p := pinned(t)
	var seen watched
	p.Run = &seen
	var group sync.WaitGroup
	results := make([]Pins, 4)
	for i := range results {
		group.Go(func() {
			var err error
			if results[i], err = p.Pins(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, r := range results[1:] {
		if r.NixOS != results[0].NixOS || r.Disko != results[0].Disko {
			t.Errorf("runs disagree: %+v and %+v", r, results[0])
		}
	}
	if n := seen.count("nix-instantiate"); n != 2 {
		t.Errorf("%d copies into the store, want one each for nixos and disko", n)
	}
}

func TestWaitingForAnotherRunEndsWithTheContext(t *testing.T) {
	p := pinned(t)
	release, err := p.guard(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	var seen watched
	p.Progress = seen.sink
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = p.Pins(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || len(seen.events) == 0 || seen.events[0].Task != "wait" {
		t.Errorf("%v, events %+v", err, seen.events)
	}
}

func TestAnInterruptedFetchLeavesTheOldLockAndNothingElse(t *testing.T) {
	p := pinned(t)
	pins(t, p)
	before := lockText(t, p)
	put(t, lockSibling(p.Workspace.Dir), "half written by a run that was kill", false)
	ctx, cancel := context.WithCancel(t.Context())
	p.Progress = func(e progress.Event) {
		if e.State == progress.Running {
			cancel()
		}
	}
	put(t, p.Workspace.File("nixpkgs", "content"), unique(), false)
	if _, err := p.Update(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if lockText(t, p) != before {
		t.Error("the lock changed")
	}
	left, err := filepath.Glob(p.Workspace.File(".*.new"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestADamagedLockIsAClearError(t *testing.T) {
	p := pinned(t)
	got := pins(t, p)
	good := lockText(t, p)
	for text, want := range map[string]string{
		"<<<<<<< HEAD\n" + good:                                        "versions.lock.json:1:1: not valid JSON",
		strings.Replace(good, `"schema": 1`, `"schema": 2`, 1):         "schema 2",
		strings.Replace(good, `"rev"`, `"revision"`, 1):                "unknown field",
		strings.Replace(good, got.Disko.NarHash, got.NixOS.NarHash, 1): "versions.lock.json: pin disko",
		strings.Replace(good, `"narHash": "`, `"narHash": "x`, 1):      "is not of the form",
	} {
		put(t, p.Workspace.File(LockName), text, false)
		_, err := p.Pins(t.Context())
		wantError(t, err, want)
		if hintOf(err) == "" {
			t.Errorf("%v: no hint", err)
		}
		if lockText(t, p) != text {
			t.Error("the damaged lock was overwritten")
		}
	}
}

func TestAReadOnlyWorkspaceWorksOnceAllIsLocked(t *testing.T) {
	p := pinned(t)
	sealed := func(f func()) {
		t.Helper()
		seal(t, p.Workspace.Dir)
		defer unseal(t, p.Workspace.Dir)
		f()
	}
	sealed(func() {
		_, err := p.Pins(t.Context())
		wantError(t, err, p.Workspace.Dir)
		if !strings.Contains(hintOf(err), "read-only") {
			t.Errorf("%v: hint %q", err, hintOf(err))
		}
	})
	first := pins(t, p)
	if err := os.RemoveAll(p.Workspace.File(StateName)); err != nil {
		t.Fatal(err)
	}
	var seen watched
	p.Progress = seen.sink
	sealed(func() {
		if got := pins(t, p); got.NixOS != first.NixOS {
			t.Errorf("%+v, want %+v", got, first)
		}
		_, err := p.Update(t.Context())
		wantError(t, err, "write .staged-hive")
	})
	if len(seen.events) != 1 || seen.events[0].State != progress.Warned || !strings.Contains(seen.events[0].Text, "nix-collect-garbage") {
		t.Errorf("events %+v, want one warning about roots", seen.events)
	}
}

// seal makes a folder read-only, for root too.
func seal(t *testing.T, dir string) {
	t.Helper()
	if os.Getuid() != 0 {
		if err := os.Chmod(dir, 0o555); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil {
		need.Skip(t, "root cannot make a folder read-only here: %v", err)
	}
	if err := syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(errors.Join(err, syscall.Unmount(dir, syscall.MNT_DETACH)))
	}
}

func unseal(t *testing.T, dir string) {
	t.Helper()
	err := os.Chmod(dir, 0o755)
	if os.Getuid() == 0 {
		err = syscall.Unmount(dir, syscall.MNT_DETACH)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestAFullDiskIsAClearErrorAndKeepsTheOldLock(t *testing.T) {
	need.Root(t)
	p := pinned(t)
	pins(t, p)
	text := lockText(t, p)
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=64k"); err != nil {
		need.Skip(t, "cannot mount a small file system here: %v", err)
	}
	defer func() { _ = syscall.Unmount(small, syscall.MNT_DETACH) }()
	put(t, filepath.Join(small, LockName), text, false)
	_ = os.WriteFile(filepath.Join(small, "filler"), bytes.Repeat([]byte("x"), 1<<20), 0o644) // fills it to the last block
	err := lock{Schema: lockSchema, Pins: map[string]pin.Locked{}}.write(small)
	wantError(t, err, "write versions.lock.json")
	if !strings.Contains(hintOf(err), "disk is full") {
		t.Errorf("%v: hint %q", err, hintOf(err))
	}
	if now, err := os.ReadFile(filepath.Join(small, LockName)); err != nil || string(now) != text {
		t.Errorf("the old lock is gone: %q, %v", now, err)
	}
}

// repository is a git repository that serves archives of its commits as GitHub does, below archive/.
type repository struct{ dir string }

func newRepository(t *testing.T) repository {
	t.Helper()
	need.Program(t, "git")
	r := repository{filepath.Join(t.TempDir(), "repo")}
	if err := os.Mkdir(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r.git(t, "init", "-q", "-b", "main")
	return r
}

func (r repository) git(t *testing.T, args ...string) string {
	t.Helper()
	all := append([]string{"-C", r.dir, "-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false"}, args...)
	out, err := run.Output(t.Context(), run.Local{}, run.Command{Name: "git", Args: all})
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// commit makes a new revision with new content and returns its id.
func (r repository) commit(t *testing.T) string {
	t.Helper()
	r.git(t, "commit", "-q", "--allow-empty", "-m", "next")
	rev := r.git(t, "rev-parse", "HEAD")
	put(t, filepath.Join(r.dir, "archive", rev+".tar.gz"), string(tarball(t, diskoTree())), false)
	return rev
}

func tarball(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	pack := tar.NewWriter(zip)
	for name, content := range files {
		err := pack.WriteHeader(&tar.Header{Name: "top/" + name, Mode: 0o644, Size: int64(len(content))})
		if _, writeErr := pack.Write([]byte(content)); err != nil || writeErr != nil {
			t.Fatal(err, writeErr)
		}
	}
	if err := errors.Join(pack.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
