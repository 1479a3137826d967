package hosts

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nixos-staged-hive/internal/testbed/need"
)

// Packages write to these files when they are installed. Seen through a bind mount they would be the machine's own.
func TestWhatARootBorrowsFromTheMachineIsACopy(t *testing.T) {
	need.Root(t)
	outside := map[string]os.FileInfo{}
	for _, path := range append(borrowed(), "/etc/ssl/certs", "/dev", "/dev/null", "/dev/tty") {
		if found, err := os.Stat(path); err == nil {
			outside[path] = found
		}
	}
	if len(outside) < 4 {
		t.Fatalf("the machine has only %v: nothing is compared", outside)
	}
	root := filepath.Join(t.TempDir(), "root")
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	var mounts []byte
	err := onThread(func() error {
		if err := privateMounts(); err != nil {
			return err
		}
		view, err := os.OpenRoot("/proc/thread-self/") // there is no /proc inside yet
		if err != nil {
			return err
		}
		defer view.Close()
		if err := enterNewRoot(root); err != nil {
			return err
		}
		for path, machine := range outside {
			inside, err := os.Stat(path)
			if err != nil {
				t.Errorf("%s is missing in the root: %v", path, err)
			} else if os.SameFile(machine, inside) {
				t.Errorf("%s in the root is the machine's own", path)
			}
		}
		mounts, err = view.ReadFile("mountinfo")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if point := strings.Fields(line)[4]; point != "/" && point != "/dev" && point != "/dev/pts" {
			t.Errorf("mounted in the new root: %s", line)
		}
	}
	if len(mounts) == 0 {
		t.Error("no mounts seen at all")
	}
}
