package secret

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"

	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/need"
)

// vault is that of a new user with a new workspace.
func vault(t testing.TB) Vault {
	t.Helper()
	return Vault{Workspace: t.TempDir(), Identity: filepath.Join(t.TempDir(), "config", "identity.txt")}
}

func (v Vault) path(names ...string) string {
	return filepath.Join(append([]string{v.Workspace}, names...)...)
}

func must[T any](t testing.TB) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, file, text string, mode fs.FileMode) {
	t.Helper()
	ok(t, os.MkdirAll(filepath.Dir(file), 0o755))
	ok(t, os.WriteFile(file, []byte(text), mode))
}

// everything is all files below dir with their modes, links and folders left out.
func everything(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	ok(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		all[name] = string(text)
		return err
	}))
	return all
}

func TestSecretsComeBackInABundle(t *testing.T) {
	v := vault(t)
	public, made, err := v.EnsureHostKey("web1")
	if err != nil || !made || !strings.HasSuffix(public, " web1") {
		t.Fatalf("got %q, %v, %v", public, made, err)
	}
	if b := must[Bundle](t)(v.Bundle("web1", hash)); b.PasswordHash != hash || b.Files != nil || b.HostKeyPub != public {
		t.Errorf("a key alone: %+v has %q", b, b.PasswordHash)
	}
	key := File{Path: "/tmp/secret.key", Mode: 0o400, Content: []byte("correct horse")}
	script := File{Path: "/run/a @b/ü%.sh", Mode: 0o755, Content: []byte("#!/bin/sh\n")}
	other := "$6$salt$" + strings.Repeat("a", 86)
	ok(t, v.SetPassword("web1", other))
	ok(t, v.SetFile("web1", key))
	ok(t, v.SetFile("web1", script))
	b := must[Bundle](t)(v.Bundle("web1", hash))
	slices.SortFunc(b.Files, func(a, b File) int { return strings.Compare(b.Path, a.Path) })
	if b.Host != "web1" || b.PasswordHash != other || !reflect.DeepEqual(b.Files, []File{key, script}) {
		t.Errorf("got %v with %q and %v", b, b.PasswordHash, b.Files)
	}
	ok(t, checkPair(b.HostKey, public))
	if again, made, err := v.EnsureHostKey("web1"); err != nil || made || again != public {
		t.Errorf("a second time: %q, %v, %v", again, made, err)
	}
	if empty, err := v.Bundle("web2", ""); err != nil || !reflect.DeepEqual(empty, Bundle{Host: "web2"}) {
		t.Errorf("a host without secrets: %v, %v", empty, err)
	}
}

func TestAFileIsReplacedWithItsMode(t *testing.T) {
	v := vault(t)
	for _, mode := range []uint32{0o600, 0o400, 0o400, 0o644} {
		ok(t, v.SetFile("web1", File{Path: "/tmp/k", Mode: mode, Content: []byte{byte(mode)}}))
		b := must[Bundle](t)(v.Bundle("web1", ""))
		if len(b.Files) != 1 || b.Files[0].Mode != mode || b.Files[0].Content[0] != byte(mode) {
			t.Errorf("after mode %o: %v", mode, b.Files)
		}
	}
	ok(t, v.RemoveFile("web1", "/tmp/k"))
	ok(t, v.RemoveFile("web1", "/tmp/k"))
	if b := must[Bundle](t)(v.Bundle("web1", "")); len(b.Files) > 0 {
		t.Errorf("after it was removed: %v", b.Files)
	}
}

func TestNothingPrivateIsOnTheDisk(t *testing.T) {
	v := vault(t)
	must[string](t)(first(v.EnsureHostKey("web1")))
	ok(t, v.SetPassword("web1", hash))
	ok(t, v.SetFile("web1", File{Path: "/tmp/secret.key", Mode: 0o400, Content: []byte("correct horse")}))
	files := everything(t, v.Workspace)
	want := []string{
		"secrets/web1/files/%2Ftmp%2Fsecret.key.age", "secrets/web1/password.age",
		"secrets/web1/ssh_host_ed25519_key.age", "secrets/web1/ssh_host_ed25519_key.pub",
	}
	for name, text := range files {
		if !slices.Contains(want, name) {
			t.Errorf("a file %s", name)
		}
		for _, secret := range []string{"PRIVATE", hash, "horse"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows %q", name, secret)
			}
		}
	}
	if len(files) != len(want) {
		t.Errorf("%d files", len(files))
	}
	f := must[fs.FileInfo](t)(os.Stat(v.Identity))
	d := must[fs.FileInfo](t)(os.Stat(filepath.Dir(v.Identity)))
	if f.Mode().Perm() != 0o600 || d.Mode().Perm() != 0o700 {
		t.Errorf("identity %v in %v", f.Mode(), d.Mode())
	}
}

func first[T any](value T, _ bool, err error) (T, error) { return value, err }

func TestAMissingOrWrongIdentityIsSaidAndNothingReplaced(t *testing.T) {
	v := vault(t)
	public := must[string](t)(first(v.EnsureHostKey("web1")))
	stranger := v
	stranger.Identity = filepath.Join(t.TempDir(), "identity.txt")
	for name, try := range map[string]func() error{
		"read":               func() error { _, err := stranger.Bundle("web1", ""); return err },
		"a key for another":  func() error { _, _, err := stranger.EnsureHostKey("web2"); return err },
		"a file for another": func() error { return stranger.SetFile("web2", File{Path: "/a", Mode: 0o400}) },
	} {
		missing, isMissing := errors.AsType[*MissingIdentityError](try())
		if !isMissing || missing.File != stranger.Identity || !strings.Contains(missing.Hint(), stranger.Identity) {
			t.Errorf("%s: got %v", name, missing)
		}
	}
	if _, err := os.Stat(stranger.Identity); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an identity was made that cannot read what is there: %v", err)
	}
	if made, err := EnsureIdentity(stranger.Identity); err != nil || !made {
		t.Fatal(made, err)
	}
	_, err := stranger.Bundle("web1", "")
	wrong, isWrong := errors.AsType[*WrongIdentityError](err)
	if !isWrong || wrong.Secret != "secrets/web1/ssh_host_ed25519_key.age" || !strings.Contains(wrong.Hint(), "age1") {
		t.Errorf("got %v", err)
	}
	if got, made, err := stranger.EnsureHostKey("web1"); err != nil || made || got != public {
		t.Errorf("the public half needs no identity: %q, %v, %v", got, made, err)
	}
}

func TestAnIdentityIsMadeOnceAndKeptPrivate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a", "identity.txt")
	made := make([]bool, 8)
	var all sync.WaitGroup
	for i := range made {
		all.Go(func() {
			var err error
			if made[i], err = EnsureIdentity(file); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := len(slices.DeleteFunc(made, func(m bool) bool { return !m })); n != 1 {
		t.Errorf("made %d times", n)
	}
	if files := everything(t, filepath.Dir(file)); len(files) != 1 {
		t.Errorf("left over: %d files", len(files))
	}
	ok(t, os.Chmod(file, 0o644))
	v := vault(t)
	v.Identity = file
	if _, _, err := v.EnsureHostKey("web1"); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("an identity that others can read: %v", err)
	}
	ok(t, os.Chmod(file, 0o600))
	write(t, file, "AGE-SECRET-KEY-1HUNTER2\n", 0o600)
	if _, _, err := v.EnsureHostKey("web1"); err == nil || strings.Contains(err.Error(), "HUNTER2") {
		t.Errorf("a broken identity: %v", err)
	}
}

func TestTheIdentityIsInTheUsersConfig(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", "/somewhere")
	if got := must[string](t)(IdentityFile()); got != "/somewhere/nixos-staged-hive/identity.txt" {
		t.Errorf("got %s", got)
	}
}

// Two people, one of whom has an SSH key only.
func TestATeamSharesSecrets(t *testing.T) {
	need.Program(t, "ssh-keygen")
	mia, tom := vault(t), vault(t)
	tom.Workspace = mia.Workspace
	must[bool](t)(EnsureIdentity(tom.Identity))
	sshKey := filepath.Join(t.TempDir(), "id_ed25519")
	must[[]byte](t)(run.Output(t.Context(), run.Local{}, run.Command{
		Name: "ssh-keygen", Args: []string{"-q", "-t", "ed25519", "-N", "", "-C", "ann", "-f", sshKey},
	}))
	ann := Vault{Workspace: mia.Workspace, Identity: filepath.Join(t.TempDir(), "none"), SSHKeys: []string{"/nowhere", sshKey}}

	must[string](t)(first(mia.EnsureHostKey("web1")))
	ok(t, mia.SetFile("web1", File{Path: "/k", Mode: 0o600, Content: []byte("x")}))
	before := must[Bundle](t)(mia.Bundle("web1", hash))
	for name, v := range map[string]Vault{"tom": tom, "ann": ann} {
		if _, err := v.Bundle("web1", ""); err == nil {
			t.Errorf("%s reads before", name)
		}
	}
	own := must[identity](t)(readIdentity(tom.Identity))
	public := must[[]byte](t)(os.ReadFile(sshKey + ".pub"))
	write(t, mia.path("secrets", "recipients"), "# the team\n\n"+own.public[0]+" tom\n"+string(public), 0o644)
	ok(t, mia.Rekey())
	for name, v := range map[string]Vault{"mia": mia, "tom": tom, "ann": ann} {
		if got, err := v.Bundle("web1", hash); err != nil || !reflect.DeepEqual(got, before) {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	ok(t, ann.SetPassword("web1", hash)) // which makes an identity for her, too
	if got := must[Bundle](t)(tom.Bundle("web1", "")); got.PasswordHash != hash {
		t.Errorf("tom reads %q", got.PasswordHash)
	}
}

func TestRekeyWritesNothingUnlessAllCanBeRead(t *testing.T) {
	mia, tom := vault(t), vault(t)
	tom.Workspace = mia.Workspace
	must[bool](t)(EnsureIdentity(tom.Identity))
	must[string](t)(first(mia.EnsureHostKey("web1")))
	must[string](t)(first(tom.EnsureHostKey("web2")))
	before := everything(t, mia.Workspace)
	if err := mia.Rekey(); err == nil {
		t.Error("what cannot be read was encrypted anew")
	}
	if !reflect.DeepEqual(before, everything(t, mia.Workspace)) {
		t.Error("something was written")
	}
}

func TestWrongRecipientsAreAllToldWithTheirLines(t *testing.T) {
	v := vault(t)
	write(t, v.path("secrets", "recipients"), "age1nonsense\n# fine\nssh-dss AAAA\nAGE-SECRET-KEY-1HUNTER2\n", 0o644)
	_, _, err := v.EnsureHostKey("web1")
	if err == nil {
		t.Fatal("taken")
	}
	for _, want := range []string{"recipients:1:", "recipients:3:", "recipients:4:", "private half"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s in it", err, want)
		}
	}
	if strings.Contains(err.Error(), "HUNTER2") {
		t.Errorf("the private half is shown: %v", err)
	}
}

func TestAnInterruptedOrLostHostKey(t *testing.T) {
	v := vault(t)
	public := must[string](t)(first(v.EnsureHostKey("web1")))
	pub, private := v.path("secrets", "web1", "ssh_host_ed25519_key.pub"), v.path("secrets", "web1", "ssh_host_ed25519_key.age")
	ok(t, os.Remove(pub))
	if got, made, err := v.EnsureHostKey("web1"); err != nil || !made || got != public {
		t.Errorf("told again: %q, %v, %v", got, made, err)
	}
	ok(t, os.Remove(private))
	if _, _, err := v.EnsureHostKey("web1"); err == nil || !strings.Contains(err.Error(), "private half") {
		t.Errorf("a lost private half: %v", err)
	}
	ok(t, os.Remove(pub))
	if got, made, err := v.EnsureHostKey("web1"); err != nil || !made || got == public {
		t.Errorf("a new key: %q, %v, %v", got, made, err)
	}
	write(t, pub, "ssh-rsa AAAA\n", 0o644)
	if _, err := v.HostKey("web1"); err == nil || !strings.Contains(err.Error(), "ssh_host_ed25519_key.pub") {
		t.Errorf("a public half that is none: %v", err)
	}
}

func TestManyRunsMakeOneHostKey(t *testing.T) {
	v := vault(t)
	must[bool](t)(EnsureIdentity(v.Identity))
	keys := make([]string, 8)
	var all sync.WaitGroup
	for i := range keys {
		all.Go(func() {
			var err error
			if keys[i], _, err = v.EnsureHostKey("web1"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if b := must[Bundle](t)(v.Bundle("web1", "")); slices.ContainsFunc(keys, func(k string) bool { return k != b.HostKeyPub }) {
		t.Errorf("different keys: %q", keys)
	}
}

func TestNoNameLeavesTheFolder(t *testing.T) {
	v := vault(t)
	for _, name := range []string{"", ".", "..", "../x", "a/b", "/etc", "a\x00b", "a b", ".hidden", "-n"} {
		_, _, keyErr := v.EnsureHostKey(name)
		_, pubErr := v.HostKey(name)
		_, bundleErr := v.Bundle(name, "")
		for i, err := range []error{keyErr, pubErr, bundleErr, v.SetPassword(name, hash), v.SetFile(name, File{Path: "/a", Mode: 0o400}), v.RemoveFile(name, "/a")} {
			if err == nil || !strings.Contains(err.Error(), "cannot name a folder") {
				t.Errorf("%q, call %d: %v", name, i, err)
			}
		}
	}
	outside := t.TempDir()
	ok(t, os.MkdirAll(v.path("secrets"), 0o755))
	ok(t, os.Symlink(outside, v.path("secrets", "web1")))
	if _, _, err := v.EnsureHostKey("web1"); err == nil {
		t.Error("a link out of the workspace was followed")
	}
	if left := everything(t, outside); len(left) > 0 {
		t.Errorf("written outside: %v", left)
	}
}

func TestWhatDoesNotBelongAmongTheFilesIsSaid(t *testing.T) {
	for name, want := range map[string]string{
		"readme":         "does not end in .age",
		"key.age":        "must be absolute",
		"%2Fa@9.age":     "no mode",
		"%2Fa@0400.age":  "should be %2Fa.age",
		"%2fa.age":       "should be %2Fa.age",
		"%2Fa%2F..b.age": "",
		"%2Fa%2F...age":  "without dots",
		"%zz.age":        "not an escaped path",
	} {
		v := vault(t)
		must[bool](t)(EnsureIdentity(v.Identity))
		write(t, v.path("secrets", "web1", "files", name), "not age", 0o600)
		_, err := v.Bundle("web1", "")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want %q in it", name, err, want)
		}
	}
}

// A secret that another age made, for people who take over without us.
func TestSecretsArePlainAge(t *testing.T) {
	v := vault(t)
	ok(t, v.SetFile("web1", File{Path: "/tmp/secret.key", Mode: 0o400, Content: []byte("correct horse")}))
	keys := must[[]age.Identity](t)(age.ParseIdentities(bytes.NewReader(must[[]byte](t)(os.ReadFile(v.Identity)))))
	box := must[[]byte](t)(os.ReadFile(v.path("secrets", "web1", "files", "%2Ftmp%2Fsecret.key.age")))
	if plain := must[[]byte](t)(decrypt(box, keys...)); string(plain) != "correct horse" {
		t.Errorf("got %q", plain)
	}
	own := must[identity](t)(readIdentity(v.Identity))
	to := must[[]age.Recipient](t)(parseRecipients("", []byte(own.public[0])))
	box = must[[]byte](t)(encrypt([]byte(hash+"\n"), to...))
	write(t, v.path("secrets", "web1", "password.age"), string(box), 0o600)
	if b := must[Bundle](t)(v.Bundle("web1", "")); b.PasswordHash != hash {
		t.Errorf("got %q", b.PasswordHash)
	}
}

func FuzzFileName(f *testing.F) {
	for _, name := range []string{"%2Ftmp%2Fa.age", "%2Fa@0644.age", "%2F%40@0400.age", "a", "%2F@@.age", "%2Fa@00000644.age"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		file, err := parseFileName(name)
		if err != nil {
			return
		}
		if fileName(file) != name || strings.ContainsAny(name, "/\x00") {
			t.Errorf("%q is %v, whose name is %q", name, file, fileName(file))
		}
	})
}

func FuzzRecipients(f *testing.F) {
	f.Add("# x\nage1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\n")
	f.Add("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICdYbNfeEQSVeOPnI+AQGuJncpybjpNzYnMjRlikR4Jj mia\nAGE-SECRET-KEY-1X")
	f.Fuzz(func(t *testing.T, text string) {
		to, err := parseRecipients("recipients", []byte(text))
		if err == nil && len(to) > strings.Count(text, "\n")+1 {
			t.Errorf("%d recipients of %q", len(to), text)
		}
	})
}
