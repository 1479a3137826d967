package cli_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nixos-staged-hive/internal/secret"
	"nixos-staged-hive/internal/testbed/need"
)

// withPassword is a host whose deployer needs a password.
const withPassword = `{
  hive.admin = {
    sshKeys = [ "` + key + `" ];
    hashedPassword = "$6$rounds=5000$abcdefgh$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
  };
  hive.network = { interface = "ens3"; address = "dhcp"; };
  fileSystems."/" = { device = "/dev/disk/by-label/root"; fsType = "ext4"; };
  fileSystems."/boot" = { device = "/dev/disk/by-label/boot"; fsType = "vfat"; };
  boot.loader.systemd-boot.enable = true;
  nixpkgs.hostPlatform = "x86_64-linux";
  system.stateVersion = "24.05";
}`

// staticProgram is a program that a medium can have: the test binary itself may not be static.
func staticProgram(t testing.TB) string {
	t.Helper()
	need.Program(t, "go")
	dir := t.TempDir()
	source, out := filepath.Join(dir, "main.go"), filepath.Join(dir, "setup")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", out, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build a static program: %v\n%s", err, text)
	}
	return out
}

func said(e ended) (code int, out, stderr string) { return e.code, e.out, e.err }

func TestMediumIsWrittenToAFileWithTheHostsSecretsPutIn(t *testing.T) {
	d := newDesk(t, map[string]string{"nixConfigs/web.nix": withPassword})
	program := staticProgram(t)
	image := filepath.Join(d.dir, "stick.img")
	code, out, stderr := said(d.run("install", "-n", "web", "-d", image, "--setup-program", program))
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if !strings.Contains(out, "read back and found right") {
		t.Errorf("said %q", out)
	}
	stat, err := os.Stat(image)
	if err != nil {
		t.Fatal(err)
	}
	if stat.Mode().Perm() != 0o600 {
		t.Errorf("a file with a host key has mode %s", stat.Mode())
	}
	content, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	// the region is the last mebibyte of a miniature's image
	p, err := secret.ParseRegion(content[len(content)-secret.RegionSize:])
	if err != nil {
		t.Fatal(err)
	}
	b := p.Hosts["web"]
	if !strings.HasPrefix(b.PasswordHash, "$6$rounds=5000$abcdefgh$") || !strings.Contains(b.HostKey, "PRIVATE KEY") {
		t.Errorf("the medium has %v of web", p.Names())
	}
	known, err := os.ReadFile(filepath.Join(d.dir, "known_hosts"))
	if err != nil || !strings.Contains(string(known), strings.Fields(b.HostKeyPub)[1]) {
		t.Errorf("known_hosts does not pin the key that is on the medium: %q, %v", known, err)
	}
	for _, name := range []string{"generated", ".staged-hive", "versions.lock.json"} {
		holdsNo(t, filepath.Join(d.dir, name), "abcdefgh$aaaa")
	}
	if strings.Contains(out+stderr, "abcdefgh") {
		t.Errorf("the hash was shown: %s%s", out, stderr)
	}

	code, _, stderr = said(d.run("install", "-n", "web", "-d", image, "--setup-program", program))
	if code != 4 || !strings.Contains(stderr, "--overwrite") {
		t.Errorf("a second time: exit code %d, %s", code, stderr)
	}
	if code, _, stderr = said(d.run("install", "-n", "web", "-d", image, "--setup-program", program, "--overwrite")); code != 0 {
		t.Errorf("with --overwrite: exit code %d, %s", code, stderr)
	}
}

// holdsNo looks through files for a text that must not be there.
func holdsNo(t *testing.T, root, text string) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(name)
		if strings.Contains(string(content), text) {
			t.Errorf("%s holds a secret", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDevicesThatMustNotBeWrittenAreRefused(t *testing.T) {
	d := newDesk(t, map[string]string{"nixConfigs/web.nix": withPassword})
	program := staticProgram(t)
	plain := filepath.Join(d.dir, "dev")
	if err := os.Mkdir(plain, 0o755); err != nil {
		t.Fatal(err)
	}
	for device, why := range map[string]string{
		"/dev/null":      "block device",
		"/dev/nothere":   "does not exist",
		"/dev":           "",
		plain:            "",
		"/dev/sdzz/none": "",
	} {
		code, _, stderr := said(d.run("install", "-n", "web", "-d", device, "--setup-program", program, "--confirm", "null"))
		if code == 0 || !strings.Contains(stderr, why) || !strings.Contains(stderr, "error:") {
			t.Errorf("-d %s: exit code %d, %s", device, code, stderr)
		}
	}
}

func TestWithoutADeviceTheCandidatesAreListedAndNoSecretIsMade(t *testing.T) {
	d := newDesk(t, map[string]string{"nixConfigs/web.nix": withPassword})
	code, out, stderr := said(d.run("install", "-n", "web", "--json", "--setup-program", staticProgram(t)))
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var said struct {
		Image string
		Bytes int64
	}
	if err := json.Unmarshal([]byte(out), &said); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	if stat, err := os.Stat(said.Image); err != nil || stat.Size() != said.Bytes {
		t.Errorf("image %s, %d bytes: %v", said.Image, said.Bytes, err)
	}
	if _, err := os.Stat(filepath.Join(d.dir, "secrets")); !os.IsNotExist(err) {
		t.Errorf("secrets were made for an image that has none: %v", err)
	}
}

func TestInstallTellsAllThatMakesNoSense(t *testing.T) {
	d := newDesk(t, map[string]string{"nixConfigs/web.nix": withPassword})
	code, _, stderr := said(d.run("install", "--all", "-n", "web", "--remote", "x", "-d", "y", "--mode", "wipe", "--wait"))
	if code != 2 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"exclude each other", "--mode wipe", "installs one host", "--wait waits for one host"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("%q is not in %s", want, stderr)
		}
	}
	if code, _, stderr := said(d.run("install")); code != 2 || !strings.Contains(stderr, "-n NAME") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestDryRunPrintsAndMakesNothing(t *testing.T) {
	d := newDesk(t, map[string]string{"nixConfigs/web.nix": withPassword})
	code, out, stderr := said(d.run("install", "-n", "web", "--dry", "-e", "-d", "/dev/nothere", "--setup-program", staticProgram(t)))
	if code != 0 || !strings.Contains(out, "nix-build") || !strings.Contains(out, "dd if=") || !strings.Contains(stderr, "-e has no meaning") {
		t.Errorf("exit code %d, %q, %s", code, out, stderr)
	}
	for _, name := range []string{"generated", "secrets"} {
		if _, err := os.Stat(filepath.Join(d.dir, name)); !os.IsNotExist(err) {
			t.Errorf("%s was made: %v", name, err)
		}
	}
}

func TestSecretsAreKeptEncryptedAndListedByName(t *testing.T) {
	d := newDesk(t, map[string]string{"nixConfigs/web.nix": withPassword, "disk.key": "open sesame"})
	if code, _, stderr := said(d.run("secret", "set", "web", "/tmp/secret.key", "--from", filepath.Join(d.dir, "disk.key"))); code != 0 {
		t.Fatal(stderr)
	}
	code, out, stderr := said(d.run("secret", "list"))
	if code != 0 || !strings.Contains(out, "/tmp/secret.key") {
		t.Errorf("exit code %d, %q, %s", code, out, stderr)
	}
	holdsNo(t, filepath.Join(d.dir, "secrets"), "open sesame")
	if code, _, stderr := said(d.run("secret", "set", "nobody", "/tmp/x")); code != 2 || !strings.Contains(stderr, "web") {
		t.Errorf("a host that is not there: exit code %d, %s", code, stderr)
	}
	if code, _, stderr := said(d.run("secret", "set", "web", "tmp/x")); code == 0 || !strings.Contains(stderr, "tmp/x") {
		t.Errorf("a path that is not absolute: exit code %d, %s", code, stderr)
	}
}
