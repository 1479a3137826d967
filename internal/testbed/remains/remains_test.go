package remains

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"nixos-staged-hive/internal/testbed/need"
)

// die forgets a run as a killed process does: its lock is free, its notes stay.
func die(t *testing.T, r *Run) {
	t.Helper()
	if err := r.lock.Close(); err != nil {
		t.Fatal(err)
	}
}

func start(t *testing.T, register string) *Run {
	t.Helper()
	r, err := begin(register)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestFoldersOfDeadRunsAreRemovedAndThoseOfLiveOnesAreNot(t *testing.T) {
	register, files := t.TempDir(), t.TempDir()
	live, dead, ended := start(t, register), start(t, register), start(t, register)
	for name, r := range map[string]*Run{"live": live, "dead": dead, "ended": ended} {
		if err := r.Folder(filepath.Join(files, name)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(files, name, "file"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := ended.End(); err != nil {
		t.Error(err)
	}
	die(t, dead)
	next := start(t, register)
	if !exists(files+"/live/file") || exists(files+"/dead") || exists(files+"/ended") {
		t.Errorf("left: %v", glob(t, files+"/*"))
	}
	if got := len(glob(t, register+"/run-*")); got != 2 {
		t.Errorf("%d runs are noted, want the live one and the next", got)
	}
	for _, r := range []*Run{live, next} {
		if err := r.End(); err != nil {
			t.Error(err)
		}
	}
	if got := glob(t, register+"/run-*"); len(got) > 0 {
		t.Errorf("left: %v", got)
	}
}

func TestAProcessIsKilledOnlyWhileItIsTheSame(t *testing.T) {
	register := t.TempDir()
	r := start(t, register)
	ours, other := sleeper(t), sleeper(t)
	if err := r.Process(ours.Process.Pid); err != nil {
		t.Fatal(err)
	}
	started, err := startTime(other.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{strconv.Itoa(other.Process.Pid) + " 1" + started, "0 1", "1 1", "-1 1", "999999999 1"} { // of an earlier process with its number; nobody's
		if err := r.note(process, value); err != nil {
			t.Fatal(err)
		}
	}
	die(t, r)
	err = alone(register, func() error { return sweep(register) })
	if err == nil || !strings.Contains(err.Error(), `"1" is no process of ours`) {
		t.Errorf("a note that would kill process 1: %v", err)
	}
	if err := ours.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Errorf("ours ended with %v", err)
	}
	if now, err := startTime(other.Process.Pid); err != nil || now != started {
		t.Errorf("another process of that number was killed: %v", err)
	}
}

func sleeper(t *testing.T) *exec.Cmd {
	t.Helper()
	c := exec.Command("sleep", "1000")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	return c
}

func TestAFolderWithAMountInItIsLeftAlone(t *testing.T) {
	if point := mountPoint(t); point != "" {
		if err := removeFolder(filepath.Dir(point)); err == nil || !strings.Contains(err.Error(), "mounted below it: "+point) {
			t.Errorf("%v", err)
		}
	}
}

// mountPoint is one that every machine has, with nothing to lose beside it: removeFolder must refuse before it removes.
func mountPoint(t *testing.T) string {
	t.Helper()
	need.Root(t)
	dir := t.TempDir() + "/outer/inner"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "tmpfs", dir).CombinedOutput(); err != nil {
		need.Skip(t, "cannot mount here: %s", out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("%v %s", err, out)
		}
	})
	return dir
}

func TestNotesThatWereNotFinishedAreIgnored(t *testing.T) {
	register, files := t.TempDir(), t.TempDir()
	r := start(t, register)
	if err := r.Folder(files + "/whole"); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(r.dir, notesFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("folder " + filepath.Dir(files)); err != nil { // died while it wrote a longer name
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.End(); err != nil {
		t.Error(err)
	}
	if !exists(files) || exists(files+"/whole") {
		t.Error("half a name was taken for a name")
	}
}

func TestFoldersThatAreNotOursAreRefused(t *testing.T) {
	r := start(t, t.TempDir())
	for _, path := range []string{"", "relative", "/", "/..", "/a\nb"} {
		if err := r.Folder(path); err == nil {
			t.Errorf("folder %q is accepted", path)
		}
	}
	if err := r.End(); err != nil {
		t.Error(err)
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return found
}
