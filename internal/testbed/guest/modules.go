package guest

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// kernelRelease is the name of the one kernel that was unpacked.
func kernelRelease(root string) (string, error) {
	entries, err := os.ReadDir(filepath.Join(root, "usr/lib/modules"))
	if err != nil {
		return "", err
	}
	if len(entries) != 1 {
		return "", fmt.Errorf("the packages have %d kernels instead of one", len(entries))
	}
	return entries[0].Name(), nil
}

// indexModules lets depmod list what module needs which others, for the modules in tree. The program is that of the packages in root,
// started by their own loader: this machine may have none, or another libc.
func indexModules(ctx context.Context, root, tree, release string) error {
	loader, err := resolve(root, "usr/lib64/ld-linux-x86-64.so.2")
	if err != nil {
		return err
	}
	_, err = output(ctx, loader, "--library-path", filepath.Join(root, "usr/lib/x86_64-linux-gnu"), "--argv0", "depmod",
		filepath.Join(root, "usr/bin/kmod"), "--basedir", tree, release)
	return err
}

// modules adds these modules and those they need, with an index of just them, so that udev does not look for others in vain.
func (a *archive) modules(ctx context.Context, root, release string, names []string) error {
	from := filepath.Join(root, "usr/lib/modules", release)
	if err := indexModules(ctx, root, root, release); err != nil {
		return err
	}
	index, err := os.ReadFile(filepath.Join(from, "modules.dep"))
	if err != nil {
		return err
	}
	builtin, err := os.ReadFile(filepath.Join(from, "modules.builtin"))
	if err != nil {
		return err
	}
	files, err := moduleFiles(string(index), string(builtin), names)
	if err != nil {
		return err
	}
	few := filepath.Join(root, "few") // a root with only these
	to := filepath.Join(few, "lib/modules", release)
	for _, file := range append(files, "modules.builtin", "modules.builtin.modinfo", "modules.order") {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(to, file)), 0o755); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(from, file), filepath.Join(to, file)); err != nil {
			return err
		}
	}
	if err := indexModules(ctx, root, few, release); err != nil {
		return err
	}
	return a.folder(few, "lib/modules")
}

// moduleFiles gives the files of modules and of all they need, from depmod's index, whose lines are "a.ko: b.ko c.ko" with all of them.
func moduleFiles(index, builtin string, names []string) ([]string, error) {
	lines := map[string][]string{}
	for line := range strings.Lines(index) {
		file, needed, _ := strings.Cut(strings.TrimSpace(line), ":")
		lines[moduleName(file)] = append(strings.Fields(needed), file)
	}
	for line := range strings.Lines(builtin) {
		lines[moduleName(strings.TrimSpace(line))] = nil
	}
	var files []string
	for _, name := range names {
		needed, known := lines[moduleName(name)]
		if !known {
			return nil, fmt.Errorf("the kernel has no module %s", name)
		}
		files = append(files, needed...)
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// moduleName is a module's name without folder, compression and the difference between - and _, which modprobe does not see either.
func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}
