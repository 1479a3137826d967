package guest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nixos-staged-hive/internal/testbed/need"
)

// TestArchive is read by the real cpio: the same contents are the same bytes, folders come by themselves.
func TestArchive(t *testing.T) {
	cpio := need.Program(t, "cpio")
	make := func() []byte {
		a := newArchive()
		a.link("bin", "usr/bin")
		a.file("/etc/greeting", 0o600, []byte("hello"))
		a.file("usr/bin/x", 0o755, bytes.Repeat([]byte("x"), 4097))
		return a.close()
	}
	if !bytes.Equal(make(), make()) {
		t.Error("the same contents give other bytes")
	}
	dir := t.TempDir()
	cmd := exec.Command(cpio, "--extract", "--quiet", "--no-absolute-filenames")
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(make())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "etc/greeting")); err != nil || string(text) != "hello" {
		t.Errorf("%q, %v", text, err)
	}
	s, err := os.Stat(filepath.Join(dir, "bin/x"))
	if err != nil || s.Size() != 4097 || s.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", s, err)
	}
}

func TestOutput(t *testing.T) {
	for _, tt := range []struct{ console, want, err string }{
		{"noise\r\n<<guest: output>>\r\na\r\nb\r\n<<guest: status 0>>\r\nnoise", "a\nb\n", ""},
		{"<<guest: output>>\nold\n<<guest: status 0>>\n<<guest: output>>\nnew\n<<guest: status 0>>\n", "new\n", ""},
		{"<<guest: output>>\na\n<<guest: status 3>>\n", "a\n", "ended with status 3"},
		{"<<guest: output>>\na\n", "a\n", "did not end"},
		{"kernel panic", "", "did not get to its script"},
		{"<<guest: output>>\n<<guest: status x>>", "", "read the status"},
	} {
		got, err := Output([]byte(tt.console))
		if strings.TrimSpace(got) != strings.TrimSpace(tt.want) || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q: %q, %v", tt.console, got, err)
		}
	}
}

func TestArchiveNames(t *testing.T) {
	const plan = `Reading package lists...
Inst gcc-12-base (12.2.0-14+deb12u1 Debian:12.12/oldstable [amd64])
Inst libattr1 (1:2.5.1-4 Debian:12.12/oldstable [amd64]) []
Inst adduser (3.134 Debian:12.12/oldstable, Debian-Security:12/oldstable-security [all])
Conf adduser (3.134 Debian:12.12/oldstable [all])
`
	got := strings.Join(archiveNames(plan), " ")
	if want := "gcc-12-base_12.2.0-14+deb12u1_amd64.deb libattr1_1%3a2.5.1-4_amd64.deb adduser_3.134_all.deb"; got != want {
		t.Errorf("got %s", got)
	}
}

func TestModuleFiles(t *testing.T) {
	const index = "kernel/a-b.ko: kernel/c.ko.xz\nkernel/c.ko.xz:\nkernel/d.ko:\n"
	got, err := moduleFiles(index, "kernel/e.ko\n", []string{"a_b", "e", "c"})
	if want := "kernel/a-b.ko kernel/c.ko.xz"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := moduleFiles(index, "", []string{"f"}); err == nil {
		t.Error("a module that is not there is no error")
	}
}
