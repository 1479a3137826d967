package pin

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/need"
)

// unique is text no earlier run has put into the store.
func unique() string { return strconv.FormatInt(time.Now().UnixNano(), 36) }

// tree makes a small source with the marker file and content that no other test has.
func tree(t *testing.T, content string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "a tree")
	write(t, filepath.Join(dir, "module.nix"), "{ }\n")
	write(t, filepath.Join(dir, "version.nix"), "{ version = \"1.2.3\"; }\n")
	write(t, filepath.Join(dir, "content"), content)
	return dir
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// archive packs files below one top folder, as GitHub does.
func archive(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	pack := tar.NewWriter(zip)
	for name, content := range files {
		h := &tar.Header{Name: "top-1/" + name, Mode: 0o644, Size: int64(len(content))}
		if err := errors.Join(pack.WriteHeader(h), func() error { _, err := pack.Write([]byte(content)); return err }()); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(pack.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// recorder collects events and the commands that were run.
type recorder struct {
	mu       sync.Mutex
	events   []progress.Event
	programs []string
}

func (r *recorder) sink(e progress.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) Run(ctx context.Context, c run.Command) error {
	r.mu.Lock()
	r.programs = append(r.programs, c.Name)
	r.mu.Unlock()
	return run.Local{}.Run(ctx, c)
}

func (r *recorder) ran(program string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.programs {
		if p == program {
			return true
		}
	}
	return false
}

func resolve(t *testing.T, f Fetcher, src Source, text string) (Locked, error) {
	t.Helper()
	spec, err := ParseSpec(text)
	if err != nil {
		t.Fatal(err)
	}
	return f.Resolve(t.Context(), src, spec)
}

func deleteFromStore(t *testing.T, storePath string) {
	t.Helper()
	if _, err := run.Output(t.Context(), run.Local{}, run.Command{Name: "nix-store", Args: []string{"--delete", storePath}}); err != nil {
		t.Fatal(err)
	}
}

func TestAFolderIsPinnedByItsContentWithoutGit(t *testing.T) {
	need.Store(t)
	dir := tree(t, unique())
	f := Fetcher{Run: run.Local{}, Dir: filepath.Dir(dir)}
	first, err := resolve(t, f, Disko(), "./a tree")
	if err != nil {
		t.Fatal(err)
	}
	if first.Path != dir || first.URL != "" || first.Rev != "" || first.Check() != nil {
		t.Errorf("entry %+v", first)
	}
	if got := Release(first.StorePath); got != "1.2.3" {
		t.Errorf("release %q", got)
	}
	write(t, filepath.Join(dir, ".git", "index"), "changes with every git command")
	write(t, filepath.Join(dir, ".gitignore"), "")
	if err := os.Remove(filepath.Join(dir, ".gitignore")); err != nil {
		t.Fatal(err)
	}
	second, err := resolve(t, f, Disko(), dir)
	if err != nil || second.NarHash != first.NarHash {
		t.Errorf("with .git: %s, %v; without: %s", second.NarHash, err, first.NarHash)
	}
}

func TestALinkToAFolderIsPinnedAsTheFolder(t *testing.T) {
	need.Store(t)
	dir := tree(t, unique())
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	f := Fetcher{Run: run.Local{}}
	a, errA := resolve(t, f, Disko(), dir)
	b, errB := resolve(t, f, Disko(), link)
	if errA != nil || errB != nil || a.StorePath != b.StorePath {
		t.Errorf("%s (%v) and %s (%v)", a.StorePath, errA, b.StorePath, errB)
	}
}

func TestAStorePathIsPinnedWithoutCopying(t *testing.T) {
	need.Store(t)
	f := Fetcher{Run: run.Local{}}
	first, err := resolve(t, f, Disko(), tree(t, unique()))
	if err != nil {
		t.Fatal(err)
	}
	var rec recorder
	f.Run = &rec
	second, err := resolve(t, f, Disko(), first.StorePath)
	if err != nil || second.StorePath != first.StorePath {
		t.Errorf("%+v, %v", second, err)
	}
	if rec.ran("nix-instantiate") {
		t.Error("the store path was copied into the store")
	}
}

func TestABranchAndAnAnnotatedTagAreLookedUpInARealRepository(t *testing.T) {
	need.Store(t)
	repo, rev := repository(t)
	write(t, filepath.Join(repo, "archive", rev+".tar.gz"), string(archive(t, map[string]string{"module.nix": unique()})))
	src := Disko()
	src.Repository = "file://" + repo
	f := Fetcher{Run: run.Local{}}
	for _, text := range []string{"main", "v1.0", "refs/tags/v1.0", "both-same", rev, strings.ToUpper(rev)} {
		l, err := resolve(t, f, src, text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if l.Rev != rev || l.URL != src.Repository+"/archive/"+rev+".tar.gz" || l.Spec != text || l.Check() != nil {
			t.Errorf("%s: %+v, want revision %s", text, l, rev)
		}
	}
}

func TestARefThatCannotBeChosenIsASpecError(t *testing.T) {
	need.Store(t)
	repo, rev := repository(t)
	src := Disko()
	src.Repository = "file://" + repo
	for text, hint := range map[string]string{
		"no-such-branch": "ls-remote",
		"ain":            "ls-remote", // ls-remote alone would match the end of a name
		rev[:12]:         "all 40 digits",
		"both":           "refs/tags/both",
	} {
		_, err := resolve(t, Fetcher{Run: run.Local{}}, src, text)
		e, ok := errors.AsType[*SpecError](err)
		if !ok || !strings.Contains(e.Hint(), hint) {
			t.Errorf("%s: %v, want a SpecError with a hint about %q", text, err, hint)
		}
	}
}

// repository has one branch main, an annotated tag v1.0 on it, "both" as branch and tag of different commits, "both-same" of the same.
func repository(t *testing.T) (dir, rev string) {
	t.Helper()
	need.Program(t, "git")
	dir = filepath.Join(t.TempDir(), "repo")
	git := func(args ...string) string {
		t.Helper()
		all := append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false"}, args...)
		out, err := run.Output(t.Context(), run.Local{}, run.Command{Name: "git", Args: all})
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	git("init", "-q", "-b", "main")
	git("commit", "-q", "--allow-empty", "-m", "one")
	git("tag", "both")
	git("commit", "-q", "--allow-empty", "-m", "two")
	git("tag", "-a", "-m", "release", "v1.0")
	git("branch", "both")
	git("branch", "both-same")
	git("tag", "both-same")
	git("branch", "release/main")
	return dir, git("rev-parse", "HEAD")
}

func TestAnArchiveIsFetchedWithProgressAndHashedLikeTheFolder(t *testing.T) {
	need.Store(t)
	content := unique()
	packed := archive(t, map[string]string{"module.nix": "{ }\n", "content": content})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(packed)))
		_, _ = w.Write(packed)
	}))
	defer server.Close()
	var rec recorder
	rev := strings.Repeat("ab", 20)
	l, err := resolve(t, Fetcher{Run: run.Local{}, Progress: rec.sink}, Disko().For("web1"), server.URL+"/"+rev+".tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	if l.Rev != rev || l.Path != "" {
		t.Errorf("entry %+v", l)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "module.nix"), "{ }\n")
	write(t, filepath.Join(dir, "content"), content)
	same, err := resolve(t, Fetcher{Run: run.Local{}}, Disko(), dir)
	if err != nil || same.StorePath != l.StorePath {
		t.Errorf("folder %s, %v; archive %s", same.StorePath, err, l.StorePath)
	}
	first, last := rec.events[0], rec.events[len(rec.events)-1]
	if first.State != progress.Started || last.State != progress.Done || first.Task != "fetch disko" || first.Host != "web1" {
		t.Errorf("first event %+v, last %+v", first, last)
	}
	counted := false
	for _, e := range rec.events {
		counted = counted || e.Total == int64(len(packed)) && e.Done == e.Total
	}
	if !counted {
		t.Errorf("no event counts %d bytes: %+v", len(packed), rec.events)
	}
}

func TestAMissingArchiveIsAReadableError(t *testing.T) {
	need.Store(t)
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	var rec recorder
	_, err := resolve(t, Fetcher{Run: run.Local{}, Progress: rec.sink}, Disko(), server.URL+"/x.tar.gz")
	if err == nil || !strings.Contains(err.Error(), "404") || strings.Contains(err.Error(), "@nix") || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("got %v", err)
	}
	if last := rec.events[len(rec.events)-1]; last.State != progress.Failed || last.Err == nil {
		t.Errorf("last event %+v", last)
	}
	if failed, ok := errors.AsType[*run.Error](err); !ok || bytes.Contains(failed.Stderr, []byte("@nix")) {
		t.Errorf("stderr is not for people: %v", err)
	}
}

func TestATreeOfSomethingElseIsRefused(t *testing.T) {
	need.Store(t)
	_, err := resolve(t, Fetcher{Run: run.Local{}}, NixOS(), tree(t, unique()))
	if e, ok := errors.AsType[*TreeError](err); !ok || e.Pin != "nixos" || !strings.Contains(e.Error(), "nixos/lib/eval-config.nix") {
		t.Errorf("got %v", err)
	}
}

func TestAFileOrAMissingFolderIsAClearError(t *testing.T) {
	need.Store(t)
	file := filepath.Join(t.TempDir(), "x.tar.gz")
	write(t, file, "x")
	_, err := resolve(t, Fetcher{Run: run.Local{}}, Disko(), file)
	if e, ok := errors.AsType[*SpecError](err); !ok || !strings.Contains(e.Hint(), "file:///") {
		t.Errorf("a file: %v", err)
	}
	if _, err := resolve(t, Fetcher{Run: run.Local{}}, Disko(), file+"-not"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing folder: %v", err)
	}
}

func TestCollectedContentIsRestoredByHash(t *testing.T) {
	need.Store(t)
	dir := tree(t, unique())
	f := Fetcher{Run: run.Local{}}
	l, err := resolve(t, f, Disko(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if missing, err := f.Missing(t.Context(), l.StorePath); err != nil || len(missing) != 0 {
		t.Fatalf("just stored, yet missing: %v, %v", missing, err)
	}
	deleteFromStore(t, l.StorePath)
	if missing, err := f.Missing(t.Context(), l.StorePath); err != nil || len(missing) != 1 || missing[0] != l.StorePath {
		t.Fatalf("deleted, yet not missing: %v, %v", missing, err)
	}
	if err := f.Restore(t.Context(), Disko(), l); err != nil {
		t.Fatal(err)
	}
	if missing, err := f.Missing(t.Context(), l.StorePath); err != nil || len(missing) != 0 {
		t.Errorf("restored, yet missing: %v, %v", missing, err)
	}
}

func TestChangedContentIsNotRestored(t *testing.T) {
	need.Store(t)
	dir := tree(t, unique())
	f := Fetcher{Run: run.Local{}}
	l, err := resolve(t, f, Disko(), dir)
	if err != nil {
		t.Fatal(err)
	}
	deleteFromStore(t, l.StorePath)
	write(t, filepath.Join(dir, "content"), "other "+unique())
	err = f.Restore(t.Context(), Disko(), l)
	e, ok := errors.AsType[*MismatchError](err)
	if !ok || e.Want != l.NarHash || e.Got == l.NarHash || e.From != dir || !strings.Contains(e.Hint(), "versions update disko") {
		t.Errorf("got %v", err)
	}
}

func TestARootKeepsContentInTheStore(t *testing.T) {
	need.Store(t)
	f := Fetcher{Run: run.Local{}}
	l, err := resolve(t, f, Disko(), tree(t, unique()))
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "a root")
	if err := f.Root(t.Context(), l.StorePath, link); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(link); err != nil || to != l.StorePath {
		t.Errorf("root points to %q, %v", to, err)
	}
	if _, err := run.Output(t.Context(), run.Local{}, run.Command{Name: "nix-store", Args: []string{"--delete", l.StorePath}}); err == nil {
		t.Error("nix deleted a path with a root")
	}
	other, err := resolve(t, f, Disko(), tree(t, unique()))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Root(t.Context(), other.StorePath, link); err != nil {
		t.Errorf("replace a root: %v", err)
	}
}

func TestWithoutGitTheErrorSaysWhatNeedsNone(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := resolve(t, Fetcher{Run: run.Local{}}, NixOS(), "nixos-24.05")
	if e, ok := errors.AsType[*run.MissingError](err); !ok || e.Program != "git" || !strings.Contains(e.Hint, "commit") {
		t.Errorf("got %v", err)
	}
}

func TestACancelledFetchEndsWithTheCause(t *testing.T) {
	need.Store(t)
	ctx, cancel := context.WithCancel(t.Context())
	reached := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		_, _ = w.Write(make([]byte, 1000))
		w.(http.Flusher).Flush()
		close(reached)
		<-r.Context().Done()
	}))
	defer server.Close()
	go func() { <-reached; cancel() }()
	spec, err := ParseSpec(server.URL + "/slow.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (Fetcher{Run: run.Local{}}).Resolve(ctx, Disko(), spec); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestLogWithoutEndOrSenseIsSurvived(t *testing.T) {
	var rec recorder
	l := &nixLog{sink: rec.sink, last: progress.Event{Task: "fetch x", State: progress.Running}}
	for _, part := range []string{"plain words\n", "@nix {\"action\":\"msg\",\"level\":0,\"raw_msg\":\"\\u001b[1mboom\\u001b[0m\"}", "\n@nix {broken\n", "@nix {\"action\":\"result\",\"type\":105,\"fields\":[1", ",\"x\"]}\n", "tail"} {
		if _, err := l.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := string(l.messages()), "plain words\nerror: boom\n@nix {broken\ntail\n"; got != want {
		t.Errorf("messages %q, want %q", got, want)
	}
	if len(rec.events) != 0 {
		t.Errorf("events %+v", rec.events)
	}
}
