package vm

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSocketsGoWhereTheirPathsAreShort(t *testing.T) {
	short, long := t.TempDir(), filepath.Join(t.TempDir(), strings.Repeat("x", 80))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	dir, err := socketDir("/some/lab", "", "relative", long, filepath.Join(short, "missing"), short, "/tmp")
	if err != nil || filepath.Dir(dir) != short {
		t.Errorf("got %q, %v", dir, err)
	}
	if other, err := socketDir("/other/lab", short); err != nil || other == dir {
		t.Errorf("two labs share %q, %v", other, err)
	}
	if _, err := socketDir("/some/lab", long); err == nil {
		t.Error("no error without a place")
	}
	if n := len(filepath.Join(dir, strings.Repeat("s", socketNameLimit))); n > socketLimit {
		t.Errorf("a socket's path has %d bytes", n)
	}
}

func TestFolderForSocketsIsOurs(t *testing.T) {
	base := t.TempDir()
	own, err := socketDir("/lab", base)
	if err != nil {
		t.Fatal(err)
	}
	for name, prepare := range map[string]func() error{
		"link": func() error { return os.Symlink(t.TempDir(), own) },
		"file": func() error { return os.WriteFile(own, nil, 0o600) },
		"open": func() error { return errors.Join(os.Mkdir(own, 0o700), os.Chmod(own, 0o755)) },
	} {
		t.Run(name, func(t *testing.T) {
			defer os.Remove(own)
			if err := prepare(); err != nil {
				t.Fatal(err)
			}
			if err := removeSocketDirs(t.TempDir(), base); err != nil {
				t.Errorf("another lab is not concerned: %v", err)
			}
			if err := removeOwn(own); err == nil || !strings.Contains(err.Error(), "is not ours") {
				t.Errorf("got %v", err)
			}
			if _, err := os.Lstat(own); err != nil {
				t.Errorf("it was removed: %v", err)
			}
		})
	}
}

func TestSocketsAreFoundAgainWhereverTheyWere(t *testing.T) {
	lab, before, now := t.TempDir(), t.TempDir(), t.TempDir()
	first, err := makeSocketDir(lab, before)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(first, "1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// A copy of the lab has the note, too, but no right to what it names.
	duplicate := t.TempDir()
	if err := os.Symlink(first, noteOfSockets(duplicate)); err != nil {
		t.Fatal(err)
	}
	if err := removeSocketDirs(duplicate, before); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(first, "1")); err != nil {
		t.Fatalf("the copy removed the original's: %v", err)
	}
	second, err := makeSocketDir(lab, now) // say, XDG_RUNTIME_DIR is another one today
	if err != nil || filepath.Dir(second) != now {
		t.Fatalf("got %q, %v", second, err)
	}
	if _, err := os.Stat(first); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old one is still there: %v", err)
	}
	if err := removeSocketDirs(lab, now); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{second, noteOfSockets(lab)} {
		if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
}
