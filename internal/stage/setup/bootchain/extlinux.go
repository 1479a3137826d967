package bootchain

import (
	"fmt"
	"path"
	"strings"
)

// extlinux follows the way of U-Boot and others that read extlinux.conf: from its default label to kernel, initrd and device tree.
func (v *verifier) extlinux() {
	const file = "/boot/extlinux/extlinux.conf"
	text, err := v.tree.read(file)
	if err != nil {
		v.broken("loader-configuration", "the configuration of the boot loader: %v", err)
		return
	}
	conf := readExtlinux(string(text))
	chosen, ok := conf.chosen()
	if !ok {
		v.broken("entry-missing", "%s has no label %q", file, conf.choice)
		return
	}
	v.proven(file)
	v.kernel(chosen.below(path.Dir(file)))
	if err := v.deviceTree(path.Dir(file), chosen); err != nil {
		v.broken("boot-file", "the default entry %s: %v", chosen.label, err)
	}
	for _, l := range conf.labels {
		if l.label != chosen.label {
			v.stale(l.below(path.Dir(file)))
		}
	}
}

// deviceTree wants the file that the entry names, or something in its folder of them.
func (v *verifier) deviceTree(folder string, l extLabel) error {
	if l.tree != "" {
		return v.tree.filled(relative(folder, l.tree))
	}
	if l.trees == "" {
		return nil
	}
	if name := relative(folder, l.trees); len(v.tree.list(name)) == 0 {
		return fmt.Errorf("%s: no device trees", name)
	}
	return nil
}

// extConf is an extlinux.conf.
type extConf struct {
	choice string
	labels []extLabel
}

// extLabel is what it can start; paths are as they stand there.
type extLabel struct {
	label, linux, initrd, options, tree, trees string
}

// readExtlinux reads it as U-Boot does (boot/pxe_utils.c: keywords in any case). What it does not know it passes over.
func readExtlinux(text string) extConf {
	var c extConf
	for key, value := range settings(text) {
		key = strings.ToLower(key)
		switch {
		case key == "default":
			c.choice = value
			continue
		case key == "label":
			c.labels = append(c.labels, extLabel{label: value})
			continue
		case len(c.labels) == 0:
			continue
		}
		l := &c.labels[len(c.labels)-1]
		switch key {
		case "linux", "kernel":
			l.linux = value
		case "initrd":
			l.initrd = value
		case "append":
			l.options = value
		case "fdt", "devicetree":
			l.tree = value
		case "fdtdir", "devicetreedir":
			l.trees = value
		}
	}
	return c
}

// chosen is the label that is started by default; without a default the first.
func (c extConf) chosen() (extLabel, bool) {
	for _, l := range c.labels {
		if c.choice == "" || l.label == c.choice {
			return l, true
		}
	}
	return extLabel{}, false
}

// below gives the entry with paths of the installed system.
func (l extLabel) below(folder string) entry {
	e := entry{name: l.label, kernel: relative(folder, l.linux), commandLine: l.options}
	if l.initrd != "" {
		e.initrds = []string{relative(folder, l.initrd)}
	}
	return e
}

// relative reads a path beside extlinux.conf, or from the top of its file system, which for a host without a boot partition is the root.
func relative(folder, name string) string {
	if path.IsAbs(name) {
		return path.Clean(name)
	}
	return path.Join(folder, name)
}
