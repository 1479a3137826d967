package define

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nixos-staged-hive/internal/hive"
)

// cacheFormat numbers the form of entries and the rules by which they are judged.
const cacheFormat = 1

// common sums up what all hosts of an input depend on: this program, Nix, its configuration and environment, the files
// that nixpkgs reads of its own accord, the workspace, and who is in it.
func (t *tracker) common() (string, error) {
	sum := newDigest()
	tree, err := sumOf(t.in.Tree)
	if err != nil {
		return "", err
	}
	files, err := t.watch.workspaceState(t.in.Workspace)
	if err != nil {
		return "", err
	}
	sum.add(fmt.Sprint(cacheFormat, hive.Schema), t.in.Tool, tree, files, t.in.Workspace, t.in.Generated)
	t.nixProgram(sum)
	t.environment(sum)
	for _, s := range t.in.Sources {
		sum.add(fmt.Sprintf("%q %q %q", s.Name, s.Definition, s.Without))
		hardware, err := t.watch.state(filepath.Join(t.in.Generated, s.Name, "hardware-configuration.nix"), false)
		if err != nil {
			return "", err
		}
		sum.add(hardware)
	}
	return sum.text(), nil
}

// key sums up what one host depends on inside of the workspace.
func key(common string, s Source) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%q %q %q %q", common, s.Name, s.Nixpkgs, s.Disko, s.DiskoVersion))
	return hex.EncodeToString(sum[:])
}

// nixProgram tells which Nix is installed without starting it: the program that PATH leads to, and the evaluator's
// library beside it, by what the file system says.
func (t *tracker) nixProgram(sum digest) {
	program := onPath("nix-instantiate")
	files := []string{program}
	if program != "" {
		prefix := filepath.Dir(filepath.Dir(program))
		folders, _ := filepath.Glob(filepath.Join(prefix, "lib", "*-linux-*"))
		for _, dir := range append(folders, filepath.Join(prefix, "lib"), filepath.Join(prefix, "lib64")) {
			files = append(files, filepath.Join(dir, "libnixexpr.so"), filepath.Join(dir, "nix", "libnixexpr.so"))
		}
	}
	for _, file := range files {
		sum.add(file)
		if info, err := os.Stat(file); err == nil {
			sum.add(signature(info))
		}
	}
}

// onPath finds a program as execvp(3) does, and where links lead; empty if there is none.
func onPath(name string) string {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			continue
		}
		if real, err := filepath.EvalSymlinks(path); err == nil {
			return real
		}
	}
	return ""
}

// environment adds the variables that Nix and nixpkgs read (nixpkgs 24.05: all getEnv in it), and the files they name.
// NIX_PATH is set by us.
func (t *tracker) environment(sum digest) {
	vars := slices.Sorted(slices.Values(os.Environ()))
	for _, v := range vars {
		name, _, _ := strings.Cut(v, "=")
		known := slices.Contains([]string{"HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "IN_NIX_SHELL", "VERBOSE", "SHELL"}, name)
		if known || strings.HasPrefix(name, "NIX") && name != "NIX_PATH" {
			sum.add(v)
		}
	}
	for _, file := range configurations() {
		t.configuration(sum, file, 0)
	}
	config := filepath.Join(home(), ".config", "nixpkgs")
	for _, path := range []string{
		filepath.Join(config, "config.nix"), filepath.Join(config, "overlays.nix"), filepath.Join(config, "overlays"),
		filepath.Join(home(), ".nixpkgs", "config.nix"), os.Getenv("NIXPKGS_CONFIG"), os.Getenv("NIXOS_EXTRA_MODULE_PATH"),
	} {
		if path == "" {
			continue
		}
		state, err := t.watch.state(path, true)
		sum.add(path, state, fmt.Sprint(err))
	}
}

// configurations are the files that nix.conf(5) names.
func configurations() []string {
	system := os.Getenv("NIX_CONF_DIR")
	if system == "" {
		system = "/etc/nix"
	}
	files := []string{filepath.Join(system, "nix.conf")}
	if user := os.Getenv("NIX_USER_CONF_FILES"); user != "" {
		return append(files, filepath.SplitList(user)...)
	}
	folders := filepath.SplitList(os.Getenv("XDG_CONFIG_DIRS"))
	if len(folders) == 0 {
		folders = []string{"/etc/xdg"}
	}
	own := os.Getenv("XDG_CONFIG_HOME")
	if own == "" {
		own = filepath.Join(home(), ".config")
	}
	for _, dir := range append(folders, own) {
		files = append(files, filepath.Join(dir, "nix", "nix.conf"))
	}
	return files
}

// configuration adds a nix.conf and what it includes.
func (t *tracker) configuration(sum digest, file string, depth int) {
	state, err := t.watch.state(file, false)
	sum.add(file, state, fmt.Sprint(err))
	text, err := os.ReadFile(file)
	if err != nil || depth > 8 {
		return
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) != 2 || fields[0] != "include" && fields[0] != "!include" {
			continue
		}
		included := fields[1]
		if !filepath.IsAbs(included) {
			included = filepath.Join(filepath.Dir(file), included)
		}
		t.configuration(sum, included, depth+1)
	}
}
