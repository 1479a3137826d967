package secret

import (
	"bytes"
	"crypto/ed25519"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/need"
)

const hash = "$y$j9T$abc$0123456789012345678901234567890123456789012"

// keyOf makes the same key for the same host each time.
func keyOf(t testing.TB, host string) (private, public string) {
	t.Helper()
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, host)
	key := ed25519.NewKeyFromSeed(seed)
	block, err := ssh.MarshalPrivateKey(key, host)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block)), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(pub))) + " " + host
}

func bundleOf(t testing.TB, host string) Bundle {
	t.Helper()
	private, public := keyOf(t, host)
	return Bundle{
		Host: host, HostKey: private, HostKeyPub: public, PasswordHash: hash,
		Files: []File{{Path: "/tmp/secret.key", Mode: 0o400, Content: []byte("correct\x00horse\xff")}},
	}
}

func TestABundleComesBackAsItWas(t *testing.T) {
	b := bundleOf(t, "web1")
	text, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeBundle(bytes.NewReader(text))
	if err != nil || !reflect.DeepEqual(got, b) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestABundleIsNeverShown(t *testing.T) {
	b := bundleOf(t, "web1")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, value := range []any{b, &b, []Bundle{b}, map[string]Bundle{"a": b}, Package{Hosts: map[string]Bundle{"web1": b}}, b.Files} {
			shown := fmt.Sprintf(verb, value)
			if strings.Contains(shown, "PRIVATE") || strings.Contains(shown, "$y$") || strings.Contains(shown, "horse") {
				t.Errorf("%s of a %T shows %s", verb, value, shown)
			}
		}
	}
}

func TestWhatIsNoBundleIsRefused(t *testing.T) {
	_, other := keyOf(t, "web2")
	for _, tt := range []struct {
		name   string
		change func(*Bundle)
		want   string
	}{
		{"no name", func(b *Bundle) { b.Host = "" }, "cannot name a folder"},
		{"a name that escapes", func(b *Bundle) { b.Host = "../web1" }, "cannot name a folder"},
		{"another key's public half", func(b *Bundle) { b.HostKeyPub = other }, "belongs to another key"},
		{"no public half", func(b *Bundle) { b.HostKeyPub = "" }, "not one public"},
		{"two public halves", func(b *Bundle) { b.HostKeyPub += "\n" + other }, "not one public"},
		{"no private half", func(b *Bundle) { b.HostKey = "" }, "not a private Ed25519 key"},
		{"half a private half", func(b *Bundle) { b.HostKey = b.HostKey[:90] }, "not a private Ed25519 key"},
		{"a password in the clear", func(b *Bundle) { b.PasswordHash = "hunter2" }, "not a hash"},
		{"a hash that adds a line", func(b *Bundle) { b.PasswordHash += "\nroot::0" }, "not a hash"},
		{"a relative path", func(b *Bundle) { b.Files[0].Path = "secret.key" }, "must be absolute"},
		{"a path with dots", func(b *Bundle) { b.Files[0].Path = "/tmp/../etc/x" }, "without dots"},
		{"a folder", func(b *Bundle) { b.Files[0].Path = "/" }, "must be absolute"},
		{"no mode", func(b *Bundle) { b.Files[0].Mode = 0 }, "mode 0000"},
		{"setuid", func(b *Bundle) { b.Files[0].Mode = 0o4755 }, "mode 4755"},
		{"a path twice", func(b *Bundle) { b.Files = append(b.Files, b.Files[0]) }, "twice"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := bundleOf(t, "web1")
			tt.change(&b)
			_, err := b.Encode()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
			if err != nil && (strings.Contains(err.Error(), "PRIVATE") || strings.Contains(err.Error(), "hunter2")) {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestWhatIsNoJSONOfABundleIsRefusedWithoutShowingIt(t *testing.T) {
	for _, text := range []string{
		"", "null x", `{"host":"web1","hunter2":1}`, `{"host":"web1"} {"host":"hunter2"}`, `{"host":["hunter2"]}`, `hunter2`,
		`{"host":"web1","passwordHash":"` + strings.Repeat("x", bundleLimit) + `"}`,
	} {
		_, err := DecodeBundle(strings.NewReader(text))
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

// The real ssh-keygen reads what we write, and shows the same fingerprint.
func TestSSHReadsOurKeys(t *testing.T) {
	need.Program(t, "ssh-keygen")
	private, public := keyOf(t, "web1")
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(private), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := run.Output(t.Context(), run.Local{}, run.Command{Name: "ssh-keygen", Args: []string{"-y", "-f", file}})
	if err != nil || strings.TrimSpace(string(out)) != public {
		t.Errorf("got %q, %v, want %q", out, err, public)
	}
	out, err = run.Output(t.Context(), run.Local{}, run.Command{Name: "ssh-keygen", Args: []string{"-l", "-f", file}})
	print, printErr := Fingerprint(public)
	if err != nil || printErr != nil || !strings.Contains(string(out), " "+print+" web1 ") {
		t.Errorf("got %q, %v, want %q (%v)", out, err, print, printErr)
	}
}

func FuzzDecodeBundle(f *testing.F) {
	text, err := bundleOf(f, "web1").Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"host":"web1","files":[{"path":"/a","mode":256}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := DecodeBundle(bytes.NewReader(text))
		if err != nil {
			return
		}
		again, err := b.Encode()
		if err != nil {
			t.Fatalf("accepted, and not encoded again: %v", err)
		}
		if c, err := DecodeBundle(bytes.NewReader(again)); err != nil || !reflect.DeepEqual(b, c) {
			t.Errorf("came back as %+v, %v", c, err)
		}
	})
}
