package generate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nixos-staged-hive/internal/testbed/need"
)

// small is a tree that a test can read whole.
func small(version string, hosts ...string) Tree {
	t := Tree{Hosts: hosts, Files: map[string][]byte{
		"hive.json":          []byte(version + " hive of " + strings.Join(hosts, " ")),
		"hive.nix":           []byte("static"),
		"_hive/lib/host.nix": []byte(version + " library"),
	}}
	for _, h := range hosts {
		t.Files[h+"/iso.nix"] = []byte("static iso")
		t.Files[h+"/host.json"] = []byte(version + " of " + h)
	}
	return t
}

func workspace(t testing.TB) (dir string) {
	t.Helper()
	return filepath.Join(t.TempDir(), "generated")
}

func mustWrite(t testing.TB, dir string, tree Tree, o Options) Report {
	t.Helper()
	report, err := Write(t.Context(), dir, tree, o)
	if err != nil {
		t.Fatal(err)
	}
	if report.Problem != nil {
		t.Errorf("left behind: %v", report.Problem)
	}
	noSiblings(t, dir)
	return report
}

// noSiblings wants nothing of ours beside the generated folder.
func noSiblings(t testing.TB, dir string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.Contains(e.Name(), "generated") && e.Name() != "generated" {
			t.Errorf("%s is left beside the tree", e.Name())
		}
	}
}

// contents reads a tree: file contents, link targets with an arrow, folders that are empty with a slash.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(name)
			all[rel] = "-> " + target
			return err
		case d.IsDir():
			below, err := os.ReadDir(name)
			if len(below) == 0 {
				all[rel+"/"] = ""
			}
			return err
		}
		content, err := os.ReadFile(name)
		all[rel] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// want compares a tree on disk, without its manifest, with files and what the user has there.
func want(t testing.TB, dir string, tree Tree, users map[string]string) {
	t.Helper()
	expected := maps.Clone(users)
	if expected == nil {
		expected = map[string]string{}
	}
	for name, content := range tree.Files {
		expected[name] = string(content)
	}
	got := contents(t, dir)
	delete(got, manifestName)
	if !maps.Equal(got, expected) {
		t.Errorf("the tree is %q\nwant        %q", got, expected)
	}
}

func put(t testing.TB, dir, name, content string) {
	t.Helper()
	full := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestFirstGenerationWritesEverything(t *testing.T) {
	dir := workspace(t)
	tree := small("new", "a", "b")
	report := mustWrite(t, dir, tree, Options{})
	if !slices.Equal(report.Written, tree.sorted()) || len(report.Unchanged) > 0 {
		t.Errorf("report is %+v", report)
	}
	want(t, dir, tree, nil)
}

func TestNothingIsWrittenWhenNothingChanges(t *testing.T) {
	dir := workspace(t)
	tree := small("new", "a")
	mustWrite(t, dir, tree, Options{})
	before := times(t, dir)
	report := mustWrite(t, dir, tree, Options{})
	if report.Changed() || !slices.Equal(report.Unchanged, tree.sorted()) {
		t.Errorf("report is %+v", report)
	}
	if after := times(t, dir); !maps.Equal(before, after) {
		t.Errorf("times changed: %v, %v", before, after)
	}
}

// times are modification time and inode of everything, the folder included.
func times(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := d.Info()
		all[name] = fmt.Sprint(st.ModTime(), st.Sys().(*syscall.Stat_t).Ino)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestFilesThatDoNotChangeKeepTheirTimesWhenOthersDo(t *testing.T) {
	dir := workspace(t)
	mustWrite(t, dir, small("old", "a"), Options{})
	before := times(t, dir)
	report := mustWrite(t, dir, small("new", "a"), Options{})
	if want := []string{"a/iso.nix", "hive.nix"}; !slices.Equal(report.Unchanged, want) {
		t.Errorf("unchanged is %q", report.Unchanged)
	}
	after := times(t, dir)
	for _, name := range report.Unchanged {
		if full := filepath.Join(dir, name); before[full] != after[full] {
			t.Errorf("%s was written again", name)
		}
	}
}

// users is what people and tools keep in a generated tree.
func users(t *testing.T, dir, host string) map[string]string {
	t.Helper()
	put(t, dir, host+"/hardware-configuration.nix", "{ hardware }")
	put(t, dir, host+"/notes/deep/todo.txt", "todo")
	put(t, dir, "README", "mine")
	for name, target := range map[string]string{host + "/iso": "/nix/store/none-iso", host + "/gone": "nowhere"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, host, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		host + "/hardware-configuration.nix": "{ hardware }", host + "/notes/deep/todo.txt": "todo", "README": "mine",
		host + "/iso": "-> /nix/store/none-iso", host + "/gone": "-> nowhere", host + "/empty/": "",
	}
}

func TestTheUsersFilesStay(t *testing.T) {
	for _, tt := range []struct {
		name string
		disk disk
	}{{"linked", disk{}}, {"copied", disk{unlinked: true}}, {"without exchange", disk{unswapped: true}}, {"neither", disk{unlinked: true, unswapped: true}}} {
		t.Run(tt.name, func(t *testing.T) {
			dir := workspace(t)
			mustWrite(t, dir, small("old", "a"), Options{})
			kept := users(t, dir, "a")
			long := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
			if err := os.Chtimes(filepath.Join(dir, "README"), long, long); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(filepath.Join(dir, "a/notes/deep"), 0o500); err != nil {
				t.Fatal(err)
			}
			report, err := write(t.Context(), dir, small("new", "a"), Options{}, tt.disk)
			if err != nil || report.Problem != nil || report.Recovered != nil {
				t.Fatal(report, err)
			}
			noSiblings(t, dir)
			want(t, dir, small("new", "a"), kept)
			if st, err := os.Stat(filepath.Join(dir, "README")); err != nil || !st.ModTime().Equal(long) {
				t.Errorf("README has another time: %v, %v", st.ModTime(), err)
			}
			if st, err := os.Stat(filepath.Join(dir, "a/notes/deep")); err != nil || st.Mode().Perm() != 0o500 {
				t.Errorf("the folder has other rights: %v, %v", st.Mode(), err)
			}
			// the end of the test removes what is below it
			if err := os.Chmod(filepath.Join(dir, "a/notes/deep"), 0o700); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestHostsThatAreGoneAreRemovedAndTheUsersFilesInThemReported(t *testing.T) {
	dir := workspace(t)
	mustWrite(t, dir, small("old", "a", "b", "c"), Options{})
	put(t, dir, "b/hardware-configuration.nix", "hardware")
	report := mustWrite(t, dir, small("old", "a"), Options{})
	if want := []string{"b/host.json", "b/iso.nix", "c/host.json", "c/iso.nix"}; !slices.Equal(report.Removed, want) {
		t.Errorf("removed %q", report.Removed)
	}
	if !slices.Equal(report.Kept, []string{"b"}) {
		t.Errorf("kept %q", report.Kept)
	}
	want(t, dir, small("old", "a"), map[string]string{"b/hardware-configuration.nix": "hardware"})
	if report := mustWrite(t, dir, small("old", "a"), Options{}); report.Changed() || len(report.Kept) > 0 {
		t.Errorf("second report is %+v", report)
	}
}

func TestHandEditsAreAllListedAndNothingIsWritten(t *testing.T) {
	dir := workspace(t)
	mustWrite(t, dir, small("old", "a", "b"), Options{})
	put(t, dir, "a/host.json", "edited")
	put(t, dir, "b/iso.nix", "edited too") // b goes
	before := contents(t, dir)
	_, err := Write(t.Context(), dir, small("new", "a"), Options{})
	var edited *HandEditedError
	if !errors.As(err, &edited) || !slices.Equal(edited.Files, []string{"a/host.json", "b/iso.nix"}) {
		t.Fatalf("got %v", err)
	}
	for _, part := range []string{"hive.mini.modules", "--force"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the message does not say %s: %v", part, err)
		}
	}
	if !maps.Equal(before, contents(t, dir)) {
		t.Error("the tree changed")
	}
	noSiblings(t, dir)
}

func TestForceKeepsEveryEditedVersion(t *testing.T) {
	dir := workspace(t)
	mustWrite(t, dir, small("old", "a"), Options{})
	put(t, dir, "a/host.json", "first edit")
	report := mustWrite(t, dir, small("new", "a"), Options{Force: true})
	if !slices.Equal(report.HandEdited, []string{"a/host.json"}) || !slices.Equal(report.Backups, []string{"a/host.json.edited-1"}) {
		t.Errorf("report is %+v", report)
	}
	put(t, dir, "a/host.json", "second edit")
	mustWrite(t, dir, small("new", "a"), Options{Force: true})
	want(t, dir, small("new", "a"), map[string]string{"a/host.json.edited-1": "first edit", "a/host.json.edited-2": "second edit"})
}

func TestAnEditThatIsWhatWeWouldWriteIsNone(t *testing.T) {
	dir := workspace(t)
	mustWrite(t, dir, small("old", "a"), Options{})
	put(t, dir, "a/host.json", "new of a")
	report := mustWrite(t, dir, small("new", "a"), Options{})
	if !slices.Contains(report.Unchanged, "a/host.json") {
		t.Errorf("report is %+v", report)
	}
	want(t, dir, small("new", "a"), nil)
}

func TestADeletedFileIsWrittenAgain(t *testing.T) {
	dir := workspace(t)
	mustWrite(t, dir, small("old", "a"), Options{})
	if err := os.RemoveAll(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, dir, small("old", "a"), Options{})
	want(t, dir, small("old", "a"), nil)
}

func TestWithoutManifestEqualFilesAreTakenAndOthersCountAsEdited(t *testing.T) {
	for _, damage := range []func(string) error{
		os.Remove,
		func(name string) error { return os.WriteFile(name, []byte("{ torn"), 0o644) },
	} {
		dir := workspace(t)
		mustWrite(t, dir, small("old", "a"), Options{})
		if err := damage(filepath.Join(dir, manifestName)); err != nil {
			t.Fatal(err)
		}
		_, err := Write(t.Context(), dir, small("new", "a"), Options{})
		var edited *HandEditedError
		if !errors.As(err, &edited) || !slices.Equal(edited.Files, []string{"_hive/lib/host.nix", "a/host.json", "hive.json"}) {
			t.Fatalf("got %v", err)
		}
		mustWrite(t, dir, small("old", "a"), Options{})
		mustWrite(t, dir, small("new", "a"), Options{})
		want(t, dir, small("new", "a"), nil)
	}
}

func TestAManifestOfANewerProgramIsRefused(t *testing.T) {
	dir := workspace(t)
	put(t, dir, manifestName, `{"schema": 99, "files": {}}`)
	if _, err := Write(t.Context(), dir, small("new", "a"), Options{Force: true}); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("got %v", err)
	}
}

func TestATreeOfTheOriginalProjectIsTakenOverWithBackups(t *testing.T) {
	const header = "# This file is auto generated. Do not edit\n{ }"
	dir := workspace(t)
	for _, name := range []string{"hive.nix", "a/iso.nix"} {
		put(t, dir, name, header)
	}
	put(t, dir, "a/hardware-configuration.nix", header)
	report := mustWrite(t, dir, small("new", "a"), Options{})
	if want := []string{"a/iso.nix.edited-1", "hive.nix.edited-1"}; !slices.Equal(report.Backups, want) || len(report.HandEdited) > 0 {
		t.Errorf("report is %+v", report)
	}
	want(t, dir, small("new", "a"), map[string]string{
		"a/iso.nix.edited-1": header, "hive.nix.edited-1": header, "a/hardware-configuration.nix": header,
	})
}

func TestOnlyWritesThoseHostsAndWhatAllShare(t *testing.T) {
	dir := workspace(t)
	mustWrite(t, dir, small("old", "a", "b", "gone"), Options{})
	put(t, dir, "b/host.json", "edited") // not ours to judge today
	report := mustWrite(t, dir, small("new", "a", "b", "c"), Options{Only: []string{"a"}})
	if want := []string{"_hive/lib/host.nix", "a/host.json", "hive.json"}; !slices.Equal(report.Written, want) || len(report.Removed) > 0 {
		t.Errorf("report is %+v", report)
	}
	expected := small("new", "a")
	expected.Files["hive.json"] = []byte("new hive of a b c")
	want(t, dir, expected, map[string]string{
		"b/host.json": "edited", "b/iso.nix": "static iso", "gone/host.json": "old of gone", "gone/iso.nix": "static iso",
	})
}

func TestAnEditPassedOverByOnlyIsFoundByTheNextWholeRun(t *testing.T) {
	dir := workspace(t)
	mustWrite(t, dir, small("old", "a", "b"), Options{})
	put(t, dir, "b/host.json", "edited")
	mustWrite(t, dir, small("new", "a", "b"), Options{Only: []string{"a"}})
	_, err := Write(t.Context(), dir, small("new", "a", "b"), Options{})
	var edited *HandEditedError
	if !errors.As(err, &edited) || !slices.Equal(edited.Files, []string{"b/host.json"}) {
		t.Errorf("got %v", err)
	}
}

func TestOnlyRefusesAHostThatIsNotThere(t *testing.T) {
	dir := workspace(t)
	if _, err := Write(t.Context(), dir, small("new", "a"), Options{Only: []string{"b"}}); err == nil || !strings.Contains(err.Error(), `"b"`) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was written: %v", err)
	}
}

func TestDryRunSaysWhatWouldBeDoneAndDoesNothing(t *testing.T) {
	dir := workspace(t)
	mustWrite(t, dir, small("old", "a", "b"), Options{})
	before := times(t, dir)
	planned := mustWrite(t, dir, small("new", "a"), Options{DryRun: true})
	if !maps.Equal(before, times(t, dir)) {
		t.Error("something was written")
	}
	if done := mustWrite(t, dir, small("new", "a"), Options{}); !reflect.DeepEqual(planned, done) || !done.Changed() {
		t.Errorf("planned %+v\ndone    %+v", planned, done)
	}
}

func TestSomethingElseAtOurPlaceIsAnEditAndIsKeptByForce(t *testing.T) {
	dir := workspace(t)
	put(t, dir, "elsewhere/x", "x")
	put(t, dir, "b", "a file where a folder goes")
	put(t, dir, "c/host.json/inner/y", "y")
	if err := os.Symlink("elsewhere", filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	tree := small("new", "a", "b", "c")
	_, err := Write(t.Context(), dir, tree, Options{})
	var edited *HandEditedError
	if !errors.As(err, &edited) || !slices.Equal(edited.Files, []string{"a", "b", "c/host.json"}) {
		t.Fatalf("got %v", err)
	}
	report := mustWrite(t, dir, tree, Options{Force: true})
	if report.Recovered != nil {
		t.Errorf("report is %+v", report)
	}
	want(t, dir, tree, map[string]string{
		"elsewhere/x": "x", "a.edited-1": "-> elsewhere", "b.edited-1": "a file where a folder goes", "c/host.json.edited-1/inner/y": "y",
	})
}

func TestAGeneratedFolderThatCannotBeExchangedIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name, why string
		make      func(t *testing.T, dir string) error
	}{
		{"a symbolic link", "symbolic link", func(_ *testing.T, dir string) error {
			return errors.Join(os.Mkdir(dir+".d", 0o755), os.Symlink(dir+".d", dir))
		}},
		{"a file", "not a folder", func(_ *testing.T, dir string) error { return os.WriteFile(dir, nil, 0o644) }},
		{"a mount point", "mount point", func(t *testing.T, dir string) error {
			tmpfs(t, dir, "size=64k")
			return nil
		}},
		{"a mount point inside", "generated/a/mnt is a mount point", func(t *testing.T, dir string) error {
			tmpfs(t, filepath.Join(dir, "a/mnt"), "size=64k")
			return nil
		}},
		{"a folder bound inside", "mount point", func(t *testing.T, dir string) error {
			put(t, dir, "real/precious", "x")
			need.Root(t)
			bound := filepath.Join(dir, "a/mnt")
			return errors.Join(os.MkdirAll(bound, 0o755), mount(t, filepath.Join(dir, "real"), bound, "", syscall.MS_BIND, ""))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := workspace(t)
			if err := tt.make(t, dir); err != nil {
				t.Fatal(err)
			}
			_, err := Write(t.Context(), dir, small("new", "a"), Options{Force: true})
			var place *PlaceError
			if !errors.As(err, &place) || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("got %v", err)
			}
			if _, err := os.Lstat(filepath.Join(filepath.Dir(dir), ".generated.new")); err == nil {
				t.Error("an unfinished tree is left")
			}
		})
	}
}

func tmpfs(t testing.TB, dir, options string) {
	t.Helper()
	need.Root(t)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := mount(t, "tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
}

func mount(t testing.TB, source, dir, kind string, flags uintptr, options string) error {
	t.Helper()
	err := syscall.Mount(source, dir, kind, flags, options)
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		need.Skip(t, "this machine lets nobody mount")
	}
	if err == nil {
		t.Cleanup(func() {
			if err := syscall.Unmount(dir, 0); err != nil {
				t.Error(err)
			}
		})
	}
	return err
}

func TestAFullDiskLeavesTheOldTreeAndNothingElse(t *testing.T) {
	ws := t.TempDir()
	tmpfs(t, ws, "size=128k")
	dir := filepath.Join(ws, "generated")
	old := small("old", "a")
	mustWrite(t, dir, old, Options{})
	tree := small("new", "a")
	tree.Files["a/host.json"] = make([]byte, 1<<20)
	_, err := Write(t.Context(), dir, tree, Options{})
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "the tree is as it was") || !strings.Contains(err.Error(), "a/host.json") {
		t.Errorf("got %v", err)
	}
	want(t, dir, old, nil)
	noSiblings(t, dir)
	mustWrite(t, dir, small("new", "a"), Options{})
}

func TestAReadOnlyWorkspaceIsAClearErrorOnlyIfSomethingMustBeWritten(t *testing.T) {
	ws := t.TempDir()
	tmpfs(t, ws, "size=1m")
	dir := filepath.Join(ws, "generated")
	mustWrite(t, dir, small("old", "a"), Options{})
	if err := syscall.Mount("tmpfs", ws, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if report := mustWrite(t, dir, small("old", "a"), Options{}); report.Changed() {
		t.Errorf("report is %+v", report)
	}
	_, err := Write(t.Context(), dir, small("new", "a"), Options{})
	if !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v", err)
	}
	want(t, dir, small("old", "a"), nil)
}

func TestAMissingWorkspaceIsAnError(t *testing.T) {
	_, err := Write(t.Context(), filepath.Join(t.TempDir(), "nowhere", "generated"), small("new", "a"), Options{})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "open the workspace") {
		t.Errorf("got %v", err)
	}
}

func TestACancelledRunLeavesTheOldTreeAndNothingElse(t *testing.T) {
	dir := workspace(t)
	mustWrite(t, dir, small("old", "a"), Options{})
	cause := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	d := disk{before: func(step, name string) error {
		if step == "sync" && strings.HasSuffix(name, "hive.json") {
			cancel(cause)
		}
		return nil
	}}
	if _, err := write(ctx, dir, small("new", "a"), Options{}, d); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	want(t, dir, small("old", "a"), nil)
	noSiblings(t, dir)
}

func TestModesAreOrdinaryUnderAnOrdinaryUmask(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	dir := workspace(t)
	mustWrite(t, dir, small("old", "a"), Options{})
	wild := filepath.Join(dir, "hive.nix")
	if err := errors.Join(os.Chmod(wild, 0o666), os.Chmod(filepath.Join(dir, "a"), 0o777), os.Chmod(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, dir, small("new", "a"), Options{})
	modes := map[fs.FileMode]bool{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := d.Info()
		if st.Mode().Perm()&0o002 != 0 {
			t.Errorf("everyone may write %s: %v", name, st.Mode())
		}
		modes[st.Mode()] = true
		return err
	})
	if err != nil || !modes[0o644] || !modes[fs.ModeDir|0o755] || !modes[fs.ModeDir|0o700] {
		t.Errorf("modes are %v, %v", modes, err)
	}
}

func TestRootGivesNewFilesToTheOwnerOfTheWorkspace(t *testing.T) {
	need.Root(t)
	dir := workspace(t)
	if err := os.Chown(filepath.Dir(dir), 1234, 1234); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, dir, small("old", "a"), Options{})
	for _, name := range []string{".", "a", "a/host.json", manifestName} {
		st, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if owner := st.Sys().(*syscall.Stat_t).Uid; owner != 1234 {
			t.Errorf("%s belongs to %d", name, owner)
		}
	}
}

func TestReadersSeeTheOldTreeOrTheNewOneAtAnyTime(t *testing.T) {
	dir := workspace(t)
	mustWrite(t, dir, small("v0", "a"), Options{})
	done := make(chan struct{})
	var readers sync.WaitGroup
	readers.Go(func() {
		for {
			content, err := os.ReadFile(filepath.Join(dir, "hive.json"))
			if err != nil || !strings.HasSuffix(string(content), "hive of a") {
				t.Errorf("a reader sees %q, %v", content, err)
				return
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for i := range 20 {
		mustWrite(t, dir, small(fmt.Sprintf("v%d", i+1), "a"), Options{})
	}
	close(done)
	readers.Wait()
}

func TestRunsAtTheSameTimeWaitForEachOther(t *testing.T) {
	dir := workspace(t)
	var runs sync.WaitGroup
	for i := range 6 {
		runs.Go(func() {
			if _, err := Write(t.Context(), dir, small(fmt.Sprintf("v%d", i), "a"), Options{}); err != nil {
				t.Error(err)
			}
		})
	}
	runs.Wait()
	noSiblings(t, dir)
	version, _, _ := strings.Cut(contents(t, dir)["hive.json"], " ")
	want(t, dir, small(version, "a"), nil)
}

func TestWaitingForAnotherRunEndsWithTheContext(t *testing.T) {
	dir := workspace(t)
	folder, err := os.Open(filepath.Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	if err := flock(folder); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Write(ctx, dir, small("new", "a"), Options{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkWriteFiftyHosts(b *testing.B) {
	tree, err := Render(fifty(), Input{})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			mustWrite(b, workspace(b), tree, Options{})
		}
	})
	b.Run("unchanged", func(b *testing.B) {
		dir := workspace(b)
		mustWrite(b, dir, tree, Options{})
		for b.Loop() {
			mustWrite(b, dir, tree, Options{})
		}
	})
	b.Run("one host changed", func(b *testing.B) {
		dir := workspace(b)
		for i := 0; b.Loop(); i++ {
			tree.Files["host01/host.json"] = fmt.Appendf(nil, "%d\n", i)
			mustWrite(b, dir, tree, Options{})
		}
	})
}

func TestEverythingNewIsOnTheDiskBeforeItTakesItsPlace(t *testing.T) {
	dir := workspace(t)
	mustWrite(t, dir, small("old", "a"), Options{})
	unsynced, atExchange := map[string]bool{}, -1
	d := disk{before: func(step, name string) error {
		switch step {
		case "mkdir", "create":
			unsynced[name] = true
		case "sync":
			delete(unsynced, name)
		case "exchange":
			atExchange = len(unsynced)
		}
		return nil
	}}
	if _, err := write(t.Context(), dir, small("new", "a", "b"), Options{}, d); err != nil {
		t.Fatal(err)
	}
	if atExchange != 0 {
		t.Errorf("not synced before the exchange: %v", slices.Collect(maps.Keys(unsynced)))
	}
}
