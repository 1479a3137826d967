package bootchain

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/need"
)

func TestMountsBelowARoot(t *testing.T) {
	const text = `25 1 0:22 / / rw,relatime - tmpfs tmpfs rw
60 25 8:2 / /mnt rw - ext4 /dev/sda2 rw
61 60 8:1 / /mnt/boot rw shared:5 - vfat /dev/sda1 rw
62 60 0:40 /@my\040nix /mnt/nix rw - btrfs /dev/sdb1 rw,subvol=/@my\040nix
63 25 8:9 / /mnt2 rw - ext4 /dev/sdc1 rw
64 60 8:3 / /mnt/boot rw - vfat /dev/sda3 rw
broken line
`
	got := readMounts(text, "/mnt/")
	want := []volume{
		{point: "/", inside: "/", kind: "ext4", source: "/dev/sda2", number: "8:2", mounted: "/mnt"},
		{point: "/nix", inside: "/@my nix", kind: "btrfs", source: "/dev/sdb1", number: "0:40", mounted: "/mnt/nix"},
		{point: "/boot", inside: "/", kind: "vfat", source: "/dev/sda3", number: "8:3", mounted: "/mnt/boot"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v", got)
	}
	if v, ok := at(got, "/nix/store/x"); !ok || v.point != "/nix" {
		t.Errorf("at gave %+v", v)
	}
	if v, _ := at(got, "/bootx"); v.point != "/" {
		t.Errorf("at gave %+v", v)
	}
	if len(readMounts(text, "/")) != 5 {
		t.Errorf("the root of all has %+v", readMounts(text, "/"))
	}
}

func TestIdentityOfNothing(t *testing.T) {
	if id, label := identity("/nonexistent", "ext4"); id+label != "" {
		t.Errorf("nothing is called %q %q", id, label)
	}
}

func TestInitrdsAreOneAfterTheOther(t *testing.T) {
	i := install(t, hive.Boot{})
	i.write("/boot/secrets", "more")
	f, err := i.tree().initrd([]string{initrd, "/boot/secrets"})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(f); err != nil || string(got) != i.read(initrd)+"more" {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if _, err := i.tree().initrd([]string{initrd, "/boot/none"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing one: %v", err)
	}
}

func (i *installed) tree() tree { return tree{i.root} }

func TestRefusalsOfKexecAreWords(t *testing.T) {
	for number, says := range map[unix.Errno]string{
		unix.EPERM: "does not allow", unix.ENOSYS: "CONFIG_KEXEC_FILE", unix.EKEYREJECTED: "signed", unix.ENOEXEC: "format", unix.ENOMEM: "memory", unix.EIO: "refuses",
	} {
		var refused *KexecRefusedError
		if err := refusal(number); !errors.As(err, &refused) || !errors.Is(err, number) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v", number, err)
		}
	}
	if err := Load(t.TempDir(), Chain{Kernel: "/boot/linux"}); err == nil || strings.Contains(err.Error(), "refuse") {
		t.Errorf("a kernel that is not there: %v", err)
	}
}

// TestRegisteredAsksNix copies a path to a store of its own, and asks for it and for another.
func TestRegisteredAsksNix(t *testing.T) {
	need.Store(t)
	root := t.TempDir()
	file := filepath.Join(t.TempDir(), "system")
	if err := os.WriteFile(file, []byte("system\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := run.Output(t.Context(), run.Local{}, run.Command{Name: "nix-store", Args: []string{"--store", root, "--add", file}})
	if err != nil {
		t.Fatal(err)
	}
	known := strings.TrimSpace(string(out))
	ask := func(paths ...string) ([]hive.Problem, error) {
		h := hive.MediumHost{Name: "alpha", Toplevel: known, Closure: t.TempDir()}
		if err := os.WriteFile(h.Closure+"/store-paths", []byte(strings.Join(paths, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		return Registered(context.Background(), run.Local{}, root, h)
	}
	if problems, err := ask(known); err != nil || len(problems) > 0 {
		t.Errorf("a known path: %v, %v", problems, err)
	}
	problems, err := ask(known, initrd[:strings.LastIndex(initrd, "/")])
	if err != nil || len(problems) != 1 || !strings.Contains(problems[0].Message, "1 of 2") {
		t.Errorf("an unknown path: %v, %v", problems, err)
	}
	if _, err := ask(initrd); err == nil {
		t.Error("a list without the system is no list of it")
	}
}
