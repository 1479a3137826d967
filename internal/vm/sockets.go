package vm

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// socketLimit is how long the path of a unix socket may be, in bytes (Linux, sun_path less its closing zero).
const socketLimit = 107

// socketNameLimit is what is left for a socket's name in the folder of a lab.
const socketNameLimit = 16

// socketDir names the folder for a lab's sockets: short, which the lab's own may not be, and the same for the same lab, so that what a
// killed owner left is found. base are folders to try, the first that fits wins.
func socketDir(lab string, base ...string) (string, error) {
	sum := sha256.Sum256([]byte(lab))
	name := fmt.Sprintf("staged-hive-%d-%x", os.Getuid(), sum[:6])
	for _, b := range base {
		if !filepath.IsAbs(b) || len(b)+1+len(name)+1+socketNameLimit > socketLimit {
			continue
		}
		if s, err := os.Stat(b); err == nil && s.IsDir() {
			return filepath.Join(b, name), nil
		}
	}
	return "", fmt.Errorf("no folder for sockets: neither of %q is there and short enough", base)
}

// socketBases are the folders for sockets of this user.
func socketBases() []string { return []string{os.Getenv("XDG_RUNTIME_DIR"), os.TempDir(), "/tmp"} }

// makeSocketDir makes the folder, empty, and notes it in the lab first, so that it is found again whatever happens. It refuses one that
// others could have prepared.
func makeSocketDir(lab string, base ...string) (string, error) {
	dir, err := socketDir(lab, base...)
	if err != nil {
		return "", err
	}
	if err := removeSocketDirs(lab, base...); err != nil {
		return "", err
	}
	if err := os.Symlink(dir, noteOfSockets(lab)); err != nil {
		return "", err
	}
	return dir, os.Mkdir(dir, 0o700)
}

func noteOfSockets(lab string) string { return filepath.Join(lab, "sockets") }

// removeSocketDirs removes the folder noted in the lab and the one it would have today, and the note. A note that was copied along with
// a lab names another lab's folder and is only dropped.
func removeSocketDirs(lab string, base ...string) error {
	var dirs []string
	noted, err := os.Readlink(noteOfSockets(lab))
	if err == nil {
		dirs = append(dirs, noted)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if own, err := socketDir(lab, base...); err == nil {
		if noted != "" && filepath.Base(noted) != filepath.Base(own) {
			dirs = nil
		}
		dirs = append(dirs, own)
	}
	for _, dir := range dirs {
		if err := removeOwn(dir); err != nil {
			return err
		}
	}
	if err := os.Remove(noteOfSockets(lab)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// removeOwn removes a folder if it is a real one, ours, and closed to others.
func removeOwn(dir string) error {
	s, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	stat, ok := s.Sys().(*syscall.Stat_t)
	if !s.IsDir() || s.Mode().Perm() != 0o700 || !ok || int(stat.Uid) != os.Getuid() {
		return fmt.Errorf("folder for sockets %s is not ours: somebody else made it; remove it", dir)
	}
	return os.RemoveAll(dir)
}
