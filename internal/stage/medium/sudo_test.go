package medium

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nixos-staged-hive/internal/blockdev"
	"nixos-staged-hive/internal/testbed/disk"
	"nixos-staged-hive/internal/testbed/need"
)

// user is an ordinary user who may become root by sudo, in a mount namespace of its own: the machine's sudoers stay as they are.
type user struct {
	program string // the test binary, where everybody can run it
	folder  string // with the user's files
}

// rules are what Debian and NixOS have by default, but for the password.
const rules = "Defaults use_pty\nDefaults env_reset\nroot ALL=(ALL:ALL) ALL\nnobody ALL=(root) NOPASSWD: ALL\n"

const becomeUser = `set -e
mount --bind "$1" /etc/sudoers
shift
exec setpriv --reuid=nobody --regid=nogroup --clear-groups -- "$@"`

func newUser(t *testing.T) user {
	t.Helper()
	need.Root(t)
	for _, program := range []string{"sudo", "unshare", "setpriv", "lsblk"} {
		need.Program(t, program)
	}
	// t.TempDir is behind a folder that only root can enter
	dir, err := os.MkdirTemp("", "nixos-staged-hive-user-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // a folder of its own in any case
	u := user{program: filepath.Join(dir, "program"), folder: dir}
	self, err := os.Executable()
	if err == nil {
		err = errors.Join(os.Chmod(dir, 0o755), copyFile(self, u.program, 0o755), os.WriteFile(u.rules(), []byte(rules), 0o440))
	}
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func (u user) rules() string { return filepath.Join(u.folder, "sudoers") }

func copyFile(from, to string, mode os.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Chmod(mode), out.Close())
}

// image is a file that the user can read.
func (u user) image(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(u.folder, "image")
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func (u user) write(t *testing.T, o Order) said {
	t.Helper()
	o.Progress = nil
	order, err := json.Marshal(struct {
		Image, Target, Confirm string
		Verify, Overwrite      bool
		Replace                []blockdev.Region
	}{o.Image, o.Target, o.Confirm, o.Verify, o.Overwrite, o.Replace})
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "unshare", "--mount", "--", "sh", "-c", becomeUser, "sh", u.rules(), u.program, "as-user", string(order))
	c.Dir = u.folder
	var problems strings.Builder
	c.Stderr = &problems
	out, err := c.Output()
	var s said
	if err == nil {
		err = json.Unmarshal(out, &s)
	}
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, problems.String())
	}
	if s.UID == 0 {
		t.Fatal("this ran as root")
	}
	t.Logf("%+v\n%s", s, problems.String())
	return s
}

func TestAnOrdinaryUserWritesWithOnlyTheOpeningPrivileged(t *testing.T) {
	u := newUser(t)
	d := disk.New(t, disk.Spec{Size: 16 << 20, Table: disk.GPT, Parts: []disk.Part{{Label: "old"}}})
	content := noise(9<<20 + 100)
	word := strings.TrimPrefix(d.Path, "/dev/")
	order := Order{
		Image: u.image(t, content), Target: d.Path, Confirm: word, Verify: true,
		Replace: []blockdev.Region{{Offset: 5 << 20, Bytes: []byte("host keys")}},
	}
	s := u.write(t, order)
	if s.Error != "" || s.Bytes != int64(len(content)) || s.Device != d.Path {
		t.Fatalf("got %+v", s)
	}
	copy(content[5<<20:], "host keys")
	if got := contents(t, d); !bytes.Equal(got[:len(content)], content) {
		t.Error("the image is not on the device")
	}
	used, err := blockdev.Used(d.Path)
	if err != nil || used {
		t.Errorf("the device was not given back: %v, %v", used, err)
	}
}

func TestThePrivilegedSideRefusesOnItsOwn(t *testing.T) {
	u := newUser(t)
	d := disk.New(t, disk.Spec{Size: 16 << 20})
	before := contents(t, d)
	word := strings.TrimPrefix(d.Path, "/dev/")
	image := u.image(t, noise(2<<20))

	other, err := os.OpenFile(d.Path, os.O_RDONLY|unix.O_EXCL, 0) // in use, in a way that no list shows
	if err != nil {
		t.Fatal(err)
	}
	if s := u.write(t, Order{Image: image, Target: d.Path, Confirm: word}); !s.Busy {
		t.Errorf("a device in use: %+v", s)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if s := u.write(t, Order{Image: image, Target: d.Path, Confirm: "wrong"}); s.Refused == nil || !s.Refused.Overridable() {
		t.Errorf("with a wrong word: %+v", s)
	}
	if s := u.write(t, Order{Image: image, Target: "/dev/sdz9", Confirm: word}); s.Refused == nil || s.Refused.Reasons[0].Kind != blockdev.Missing {
		t.Errorf("a device that is not there: %+v", s)
	}
	if err := os.WriteFile(u.rules(), []byte("root ALL=(ALL:ALL) ALL\n"), 0o440); err != nil {
		t.Fatal(err)
	}
	if s := u.write(t, Order{Image: image, Target: d.Path, Confirm: word}); !strings.Contains(s.Error, "as root: sudo: exit status 1") {
		t.Errorf("who may not become root: %+v", s)
	}
	if !bytes.Equal(contents(t, d), before) {
		t.Error("the device was changed")
	}
}

func TestServeOpenRefusesOtherArguments(t *testing.T) {
	for _, arguments := range [][]string{nil, {"/dev/null"}, {"/dev/null", "many", ""}, {"/dev/null", "-1", ""}, {"/dev/null", "1", "", ""}, {"--"}} {
		if err := ServeOpen(t.Context(), local(), arguments, 0); err == nil {
			t.Errorf("%q was taken", arguments)
		}
	}
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(file.Fd()))
	if err = errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	if err := ServeOpen(t.Context(), local(), []string{"/dev/null", "1", ""}, uintptr(fd)); err == nil {
		t.Error("a file was taken for a socket")
	}
}
