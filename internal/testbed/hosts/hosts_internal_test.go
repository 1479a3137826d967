package hosts

import (
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nixos-staged-hive/internal/testbed/need"
)

func TestTheMirrorIsThatOfTheMachinesRelease(t *testing.T) {
	const debian = "PRETTY_NAME=\"Debian\"\nID=debian\nVERSION_CODENAME=bookworm\n"
	const targets = "http://tools.test/apt/|bookworm|stable\nhttp://security.test/|bookworm-security|main\nhttp://mirror.test/debian/|bookworm|main\n"
	for _, tt := range []struct{ name, release, targets, want, err string }{
		{"debian", debian, targets, "http://mirror.test/debian/", ""},
		{"quoted", strings.ReplaceAll(debian, "bookworm", `"bookworm"`), targets, "http://mirror.test/debian/", ""},
		{"no such source", debian, "http://mirror.test/debian/|trixie|main\n", "", "no source for main of bookworm"},
		{"ubuntu", "ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n", targets, "", "not a release of Debian"},
		{"sid has no codename", "ID=debian\n", targets, "", "not a release of Debian"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := archive(tt.release, tt.targets)
			if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %q, %v; want %q, %q", got, err, tt.want, tt.err)
			}
		})
	}
}

func TestNetsThatCannotBeAreRefused(t *testing.T) {
	good := Spec{Name: "h1", Suite: Bookworm}
	if err := (Net{Hosts: []Spec{good}}).check(); err != nil {
		t.Errorf("a good one: %v", err)
	}
	for name, n := range map[string]Net{
		"no host":           {},
		"no name":           {Hosts: []Spec{{Suite: Bookworm}}},
		"two of one name":   {Hosts: []Spec{good, good}},
		"the controller's":  {Hosts: []Spec{{Name: "controller"}}},
		"a path as name":    {Hosts: []Spec{{Name: "../h1"}}},
		"no space for /etc": {Hosts: []Spec{{Name: "h1", Space: 1 << 20}}},
	} {
		if err := n.check(); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// A host that reboots itself ends as the kernel says it ends.
func TestReboots(t *testing.T) {
	for script, want := range map[string]bool{"kill -HUP $$": true, "kill -INT $$": false, "kill -KILL $$": false, "exit 1": false} {
		cmd := exec.Command("sh", "-c", script)
		_ = cmd.Run() // every one of them ends badly
		if got := rebooted(cmd.ProcessState); got != want {
			t.Errorf("%s: %v", script, got)
		}
	}
}

// What one goroutine does to its thread must not be seen by others, whichever thread it got.
func TestThreadsAreThrownAway(t *testing.T) {
	need.Root(t)
	before := names(t)
	for range 20 {
		if err := onThread(func() error { return unix.Unshare(unix.CLONE_NEWUTS | unix.CLONE_FS) }); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		if err := onThread(func() error { // nested, as when the main thread is hit
			return onThread(func() error { return unix.Unshare(unix.CLONE_NEWUTS) })
		}); err != nil {
			t.Fatal(err)
		}
		if got := names(t); got != before {
			t.Fatalf("this thread is in %s now, and was in %s", got, before)
		}
	}
}

func names(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("readlink", "/proc/self/ns/uts").Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
