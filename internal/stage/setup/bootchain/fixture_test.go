package bootchain

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/hive"
)

const (
	toplevel = "/nix/store/00000000000000000000000000000001-nixos-system-alpha"
	linux    = "/nix/store/00000000000000000000000000000002-linux-6.6.31/bzImage"
	initrd   = "/nix/store/00000000000000000000000000000003-initrd-linux-6.6.31/initrd"
	gone     = "/nix/store/00000000000000000000000000000009-nixos-system-alpha"
)

// installed is a system as nixos-install leaves it, without its boot loader.
type installed struct {
	t    *testing.T
	root string
	host hive.MediumHost
	// volumes are what would be mounted
	volumes []volume
}

func install(t *testing.T, boot hive.Boot) *installed {
	t.Helper()
	i := &installed{t: t, root: t.TempDir()}
	i.host = hive.MediumHost{
		Name: "alpha", Toplevel: toplevel, Closure: t.TempDir(),
		Plan: hive.Plan{Name: "alpha", Platform: "x86_64-linux", Boot: boot},
	}
	i.write(toplevel+"/init", "#!/bin/sh\n")
	i.write(linux, "kernel "+strings.Repeat("k", 3<<20))
	i.write(initrd, "initrd "+strings.Repeat("i", 1<<20))
	i.link(toplevel+"/kernel", linux)
	i.link(toplevel+"/initrd", initrd)
	i.link("/nix/var/nix/profiles/system", "system-1-link")
	i.link("/nix/var/nix/profiles/system-1-link", toplevel)
	paths := []string{toplevel, filepath.Dir(linux), filepath.Dir(initrd)}
	if err := os.WriteFile(i.host.Closure+"/store-paths", []byte(strings.Join(paths, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return i
}

func (i *installed) outside(name string) string { return filepath.Join(i.root, name) }

func (i *installed) write(name, content string) {
	i.t.Helper()
	if err := os.MkdirAll(filepath.Dir(i.outside(name)), 0o755); err != nil {
		i.t.Fatal(err)
	}
	if err := os.WriteFile(i.outside(name), []byte(content), 0o644); err != nil {
		i.t.Fatal(err)
	}
}

func (i *installed) link(name, target string) {
	i.t.Helper()
	i.remove(name)
	if err := os.MkdirAll(filepath.Dir(i.outside(name)), 0o755); err != nil {
		i.t.Fatal(err)
	}
	if err := os.Symlink(target, i.outside(name)); err != nil {
		i.t.Fatal(err)
	}
}

func (i *installed) remove(name string) {
	i.t.Helper()
	if err := os.RemoveAll(i.outside(name)); err != nil {
		i.t.Fatal(err)
	}
}

func (i *installed) rename(from, to string) {
	i.t.Helper()
	if err := os.MkdirAll(filepath.Dir(i.outside(to)), 0o755); err != nil {
		i.t.Fatal(err)
	}
	if err := os.Rename(i.outside(from), i.outside(to)); err != nil {
		i.t.Fatal(err)
	}
}

func (i *installed) read(name string) string {
	i.t.Helper()
	content, err := os.ReadFile(i.outside(name))
	if err != nil {
		i.t.Fatal(err)
	}
	return string(content)
}

// change replaces text in a file.
func (i *installed) change(name, from, to string) {
	i.t.Helper()
	before := i.read(name)
	if !strings.Contains(before, from) {
		i.t.Fatalf("%s does not contain %q", name, from)
	}
	i.write(name, strings.ReplaceAll(before, from, to))
}

func (i *installed) verify() (Chain, []hive.Problem) {
	v := verifier{tree: tree{i.root}, host: i.host, volumes: i.volumes}
	v.verify()
	return v.chain, v.problems
}

// expect wants problems of these rules and no others; a rule of a warning begins with "warning ".
func (i *installed) expect(rules ...string) []hive.Problem {
	i.t.Helper()
	_, problems := i.verify()
	var got []string
	for _, p := range problems {
		rule := p.Rule
		if p.Severity != hive.Error {
			rule = string(p.Severity) + " " + rule
		}
		got = append(got, rule)
		if p.Host != "alpha" || p.Message == "" || p.Way == "" {
			i.t.Errorf("a problem without host, message or way: %+v", p)
		}
		if strings.Contains(p.Message, i.root) && p.Rule != "loader-unproven" {
			i.t.Errorf("a problem names a path of the medium: %s", p.Message)
		}
	}
	slices.Sort(got)
	slices.Sort(rules)
	if !slices.Equal(got, rules) {
		i.t.Errorf("got the problems %q, want %q:\n%v", got, rules, problems)
	}
	return problems
}

// program is a small PE file.
func pe(machine uint16) string {
	b := make([]byte, 0x400)
	copy(b, "MZ")
	binary.LittleEndian.PutUint32(b[0x3c:], 0x80)
	copy(b[0x80:], "PE\x00\x00")
	binary.LittleEndian.PutUint16(b[0x84:], machine)
	binary.LittleEndian.PutUint16(b[0x86:], 1)    // sections
	binary.LittleEndian.PutUint16(b[0x94:], 0xf0) // size of the optional header
	section := b[0x80+24+0xf0:]
	copy(section, ".text")
	binary.LittleEndian.PutUint32(section[16:], 0x200)
	binary.LittleEndian.PutUint32(section[20:], 0x200)
	return string(b)
}
