package guest

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// collect takes what is wanted out of the unpacked packages into an initial root.
func collect(ctx context.Context, root, release string, wanted Extra) ([]byte, error) {
	a := newArchive()
	for _, name := range []string{"dev", "proc", "sys", "run", "tmp", "root", "etc/udev/rules.d", "usr/sbin", "usr/lib64"} {
		a.dir(name)
	}
	for _, name := range mergedFolders() {
		a.link(name, "usr/"+name)
	}
	a.file("init", 0o755, initScript)
	a.file("etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\n"))
	a.file("etc/group", 0o644, []byte("root:x:0:\n"))
	a.file("etc/modprobe.d/guest.conf", 0o644, []byte("options usb-storage delay_use=0\n")) // so that all is there when udev has settled
	a.link("usr/lib/systemd/systemd-udevd", "../../bin/udevadm")
	a.link("usr/sbin/modprobe", "../bin/kmod")
	for _, program := range wanted.Programs {
		if err := a.program(root, program); err != nil {
			return nil, err
		}
	}
	for _, folder := range []string{"usr/lib/udev/rules.d", "usr/lib/systemd/network"} {
		if err := a.folder(root, folder); err != nil {
			return nil, err
		}
	}
	if err := a.modules(ctx, root, release, wanted.Modules); err != nil {
		return nil, err
	}
	return a.close(), nil
}

// folder adds all files below a folder of root.
func (a *archive) folder(root, folder string) error {
	return fs.WalkDir(os.DirFS(root), folder, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		return a.copy(root, name)
	})
}

func (a *archive) copy(root, name string) error {
	file, err := resolve(root, name)
	if err != nil {
		return err
	}
	s, err := os.Stat(file)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(file)
	a.file(merged(name), uint32(s.Mode().Perm()), content)
	return err
}

// merged is the name without links of folders in it: an archive is unpacked in order of its names, a file below a link before the link.
func merged(name string) string {
	name = strings.TrimPrefix(name, "/")
	if first, _, _ := strings.Cut(name, "/"); slices.Contains(mergedFolders(), first) {
		return "usr/" + name
	}
	return name
}

// resolve follows links as if root were the root: packages have absolute ones.
func resolve(root, name string) (string, error) {
	for range 40 { // as many as Linux follows
		file := filepath.Join(root, name)
		target, err := os.Readlink(file)
		switch {
		case err != nil:
			return file, nil // not a link; whether it is there shows when it is opened
		case path.IsAbs(target):
			name = target
		default:
			name = path.Join(path.Dir(name), target)
		}
	}
	return "", fmt.Errorf("resolve %s: too many links", name)
}

// program adds a program or library with the libraries it is linked to.
func (a *archive) program(root, name string) error {
	if _, known := a.entries[merged(name)]; known {
		return nil
	}
	if err := a.copy(root, name); err != nil {
		return err
	}
	needed, err := linked(root, name)
	if err != nil {
		return fmt.Errorf("find the libraries of %s: %w", name, err)
	}
	for _, library := range needed {
		if err := a.program(root, library); err != nil {
			return err
		}
	}
	return nil
}

// linked gives the paths of the libraries a file needs, and of the loader it is started by. What is no ELF file needs none.
func linked(root, name string) ([]string, error) {
	file, err := resolve(root, name)
	if err != nil {
		return nil, err
	}
	f, err := elf.Open(file)
	if _, other := errors.AsType[*elf.FormatError](err); other {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	var needed []string
	if interpreter := f.Section(".interp"); interpreter != nil {
		text, err := interpreter.Data()
		if err != nil {
			return nil, err
		}
		needed = append(needed, strings.TrimRight(string(text), "\x00"))
	}
	libraries, err := f.ImportedLibraries()
	if err != nil {
		return nil, err
	}
	for _, library := range libraries {
		at, err := findLibrary(root, library)
		if err != nil {
			return nil, err
		}
		needed = append(needed, at)
	}
	return needed, nil
}

func findLibrary(root, name string) (string, error) {
	for _, dir := range []string{"usr/lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/systemd", "usr/lib/systemd", "usr/lib64", "usr/lib"} {
		if _, err := os.Lstat(filepath.Join(root, dir, name)); err == nil {
			return path.Join(dir, name), nil
		}
	}
	return "", fmt.Errorf("none of the packages has %s", name)
}
