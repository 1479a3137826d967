package setup

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/secret"
)

func medium(t *testing.T, hosts ...string) Installer {
	t.Helper()
	in := Installer{Dir: t.TempDir(), Root: t.TempDir()}
	for _, name := range hosts {
		in.Manifest.Hosts = append(in.Manifest.Hosts, hive.MediumHost{Name: name, Plan: hive.Plan{Name: name, Deployer: hive.PlanDeployer{Name: "ada", HasPassword: true}}})
	}
	return in
}

func region(t *testing.T, p secret.Package) *bytes.Reader {
	t.Helper()
	content, err := secret.Region(p)
	must(t, err)
	return bytes.NewReader(content)
}

func TestSecretsOfTheMediumAreTakenAndSealedOnesWantTheirPassphrase(t *testing.T) {
	in := medium(t, "web", "db")
	hosts := map[string]secret.Bundle{"web": {Host: "web", PasswordHash: "$6$web"}, "db": {Host: "db", PasswordHash: "$6$db"}}
	p, err := secret.Seal(hosts, "correct horse")
	must(t, err)

	sealed, err := in.TakeFromMedium(region(t, p))
	must(t, err)
	if strings.Join(sealed, " ") != "db web" {
		t.Errorf("sealed are %v", sealed)
	}
	if _, ok, err := in.bundle("web"); ok || err != nil {
		t.Errorf("the secrets of web are there before they are unlocked: %v", err)
	}
	if err := in.Unlock(region(t, p), "wrong"); !errors.Is(err, secret.ErrPassphrase) {
		t.Errorf("error %v of a wrong passphrase", err)
	}
	must(t, in.Unlock(region(t, p), "correct horse"))
	b, ok, err := in.bundle("web")
	if !ok || err != nil || b.PasswordHash != "$6$web" {
		t.Errorf("bundle %v, %v, %v", b, ok, err)
	}
	stat, err := os.Stat(in.file(secretsDir, "web"))
	must(t, err)
	if stat.Mode().Perm() != 0o600 {
		t.Errorf("mode %s", stat.Mode())
	}
}

func TestMediumThatNobodyPutSecretsOntoWorks(t *testing.T) {
	in := medium(t, "web")
	untouched := append([]byte(secret.Magic), make([]byte, secret.RegionSize-len(secret.Magic))...)
	sealed, err := in.TakeFromMedium(bytes.NewReader(untouched))
	if len(sealed) > 0 || err != nil {
		t.Errorf("sealed %v, error %v", sealed, err)
	}
	if _, err := in.TakeFromMedium(bytes.NewReader(untouched[:1000])); !errors.Is(err, secret.ErrDamaged) {
		t.Errorf("error %v of a region that is cut off", err)
	}
}

func TestSecretsOfAnotherHostAreRefused(t *testing.T) {
	if err := medium(t, "web").Take(secret.Bundle{Host: "mail"}); err == nil {
		t.Error("taken")
	}
}

func TestHostIsNotInstalledWithoutThePasswordItNeeds(t *testing.T) {
	host := medium(t, "web").Manifest.Hosts[0]
	problems := missingSecrets(host, secret.Bundle{})
	if len(problems) != 1 || problems[0].Severity != hive.Error || !strings.Contains(problems[0].Way, "install -n web --remote") {
		t.Errorf("problems %+v", problems)
	}
	if problems := missingSecrets(host, secret.Bundle{PasswordHash: "$6$"}); len(problems) > 0 {
		t.Errorf("problems %+v with a hash", problems)
	}
	host.Plan.Deployer.HasPassword = false
	if problems := missingSecrets(host, secret.Bundle{}); len(problems) > 0 {
		t.Errorf("problems %+v of a host without a password", problems)
	}
}

func TestFilesOfABundleArePlacedAndTakenAway(t *testing.T) {
	dir := t.TempDir()
	b := secret.Bundle{Host: "web", Files: []secret.File{{Path: filepath.Join(dir, "deep/secret.key"), Mode: 0o400, Content: []byte("open")}}}
	must(t, placeFiles(b))
	content, err := os.ReadFile(b.Files[0].Path)
	must(t, err)
	stat, err := os.Stat(b.Files[0].Path)
	must(t, err)
	if string(content) != "open" || stat.Mode().Perm() != 0o400 {
		t.Errorf("%q, %s", content, stat.Mode())
	}
	must(t, removeFiles(b))
	must(t, removeFiles(b))
	if _, err := os.Stat(b.Files[0].Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
}
