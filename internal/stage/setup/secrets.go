package setup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/secret"
)

// RegionFile is where the medium shows the secrets that were put onto it while it was written: its own file system is mounted at /iso.
const RegionFile = "/iso/nixos-staged-hive/injected"

// secretsDir is below Installer.Dir, in RAM.
const secretsDir = "secrets"

// passphraseFile is below Installer.Dir, in RAM: the answer to each question of disko's scripts for the passphrase of a LUKS device. A host's
// bundle can bring it as a file.
const passphraseFile = "passphrase"

// answers is what disko's scripts read on standard input: the passphrase, as often as they may ask.
func (in Installer) answers() (io.Reader, error) {
	text, err := os.ReadFile(in.file(passphraseFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	const questions = 64
	return bytes.NewReader(bytes.Repeat(append(line, '\n'), questions)), nil
}

// Sealed says of which hosts the secrets are on the medium and not opened yet.
func (in Installer) Sealed() map[string]bool {
	sealed := map[string]bool{}
	text, err := os.ReadFile(in.file(sealedFile))
	if err != nil {
		return sealed
	}
	for name := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n") {
		if _, opened, _ := in.bundle(name); !opened {
			sealed[name] = true
		}
	}
	return sealed
}

// sealedFile is below Installer.Dir: names of hosts, a line each.
const sealedFile = "sealed"

// Take keeps the secrets of a host, which came over SSH or from the medium, until it is installed or the machine is off. They win over
// those taken before.
func (in Installer) Take(b secret.Bundle) error {
	if _, ok := in.Manifest.Host(b.Host); !ok {
		return fmt.Errorf("take the secrets of %s: the medium does not carry that host", b.Host)
	}
	if err := b.Check(); err != nil {
		return fmt.Errorf("take the secrets of %s: %w", b.Host, err)
	}
	text, err := b.Encode()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(in.file(secretsDir), 0o700); err != nil {
		return err
	}
	if err := writeDurably(in.file(secretsDir, b.Host), text, 0o600); err != nil {
		return err
	}
	return placeFiles(b)
}

// bundle gives the secrets of a host; ok is false where there are none.
func (in Installer) bundle(host string) (b secret.Bundle, ok bool, err error) {
	text, err := os.ReadFile(in.file(secretsDir, host))
	if errors.Is(err, os.ErrNotExist) {
		return b, false, nil
	}
	if err != nil {
		return b, false, err
	}
	b, err = secret.DecodeBundle(bytes.NewReader(text))
	return b, err == nil, err
}

// TakeFromMedium takes what was put onto the medium when it was written. Sealed secrets want Unlock; their hosts are returned. No region, or an
// untouched one, is no error: the medium works without.
func (in Installer) TakeFromMedium(region io.Reader) (sealed []string, err error) {
	p, err := readRegion(region)
	if err != nil {
		return nil, err
	}
	if p.Sealed != nil {
		return p.Names(), writeDurably(in.file(sealedFile), []byte(strings.Join(p.Names(), "\n")+"\n"), 0o600)
	}
	return nil, in.takeAll(p.Hosts)
}

// Unlock opens sealed secrets with the passphrase that they were written with. A wrong one is secret.ErrPassphrase.
func (in Installer) Unlock(region io.Reader, passphrase string) error {
	p, err := readRegion(region)
	if err != nil || p.Sealed == nil {
		return err
	}
	hosts, err := p.Sealed.Open(passphrase)
	if err != nil {
		return err
	}
	return in.takeAll(hosts)
}

func readRegion(region io.Reader) (secret.Package, error) {
	content, err := io.ReadAll(io.LimitReader(region, secret.RegionSize))
	if err != nil {
		return secret.Package{}, fmt.Errorf("read the secrets of the medium: %w", err)
	}
	p, err := secret.ParseRegion(content)
	if errors.Is(err, secret.ErrUntouched) {
		return p, nil
	}
	return p, err
}

func (in Installer) takeAll(hosts map[string]secret.Bundle) error {
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		if err := in.Take(hosts[name]); err != nil {
			return err
		}
	}
	return nil
}

// ShowHostKey gives the medium the SSH host key of its one host, so that whoever connects knows whom he reached. It must run before sshd, which
// makes keys only where there are none. With several hosts on the medium there is no key to show.
func (in Installer) ShowHostKey(etc string) error {
	if len(in.Manifest.Hosts) != 1 {
		return nil
	}
	b, ok, err := in.bundle(in.Manifest.Hosts[0].Name)
	if err != nil || !ok || b.HostKey == "" {
		return err
	}
	return placeHostKey(filepath.Join(etc, "ssh"), b)
}

func placeHostKey(dir string, b secret.Bundle) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := writeDurably(filepath.Join(dir, "ssh_host_ed25519_key.pub"), []byte(b.HostKeyPub+"\n"), 0o644); err != nil {
		return err
	}
	return writeDurably(filepath.Join(dir, "ssh_host_ed25519_key"), []byte(b.HostKey), 0o600)
}

// placeFiles puts the files of a bundle to where disko's scripts read them.
func placeFiles(b secret.Bundle) error {
	for _, f := range b.Files {
		if err := writeDurably(f.Path, f.Content, os.FileMode(f.Mode)&os.ModePerm); err != nil {
			return fmt.Errorf("place a secret file: %w", err)
		}
	}
	return nil
}

// removeFiles takes them away again: nothing needs them once all is open.
func removeFiles(b secret.Bundle) error {
	var problems []error
	for _, f := range b.Files {
		if err := os.Remove(f.Path); err != nil && !errors.Is(err, os.ErrNotExist) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// missingSecrets is what a host cannot be installed without.
func missingSecrets(host hive.MediumHost, b secret.Bundle) []hive.Problem {
	d := host.Plan.Deployer
	if !d.HasPassword || b.PasswordHash != "" {
		return nil
	}
	return []hive.Problem{{
		Host: host.Name, Option: "hive.admin.hashedPassword", Severity: hive.Error, Rule: "no-password",
		Message: fmt.Sprintf("%s needs a password for sudo, and this medium does not have its hash: the installed host could not be deployed to", d.Name),
		Way:     fmt.Sprintf("install over SSH, which brings it (`nixos-staged-hive install -n %s --remote ADDRESS`), or write the medium with `nixos-staged-hive install`", host.Name),
	}}
}
