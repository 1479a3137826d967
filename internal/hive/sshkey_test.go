package hive

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// mustRead reads a public key made by ssh-keygen (OpenSSH 9.2).
func mustRead(name string) []byte {
	text, err := os.ReadFile(filepath.Join("testdata", "keys", name))
	if err != nil {
		panic(err)
	}
	return text
}

func TestKeysOfSSHKeygenAreJudgedByWhatTheyAre(t *testing.T) {
	files, err := filepath.Glob("testdata/keys/*.pub")
	if err != nil || len(files) < 7 {
		t.Fatalf("keys: %v %v", files, err)
	}
	want := map[string]keyFault{"fine": keyFine, "short": keyShortRSA, "dsa.pub": keyDSA, "foreign": keyForeign}
	for _, file := range files {
		name := filepath.Base(file)
		kind, _, _ := strings.Cut(name, "-")
		if got := judgeKey(string(mustRead(name))); got != want[kind] {
			t.Errorf("%s: got %q, want %q", name, got, want[kind])
		}
	}
}

func TestEveryCutOffKeyIsFound(t *testing.T) {
	for _, name := range []string{"fine-ed25519.pub", "fine-ecdsa256.pub", "fine-rsa2048.pub"} {
		fields := strings.Fields(string(mustRead(name)))
		for n := range len(fields[1]) {
			if got := judgeKey(fields[0] + " " + fields[1][:n]); got != keyBody {
				t.Fatalf("%s cut to %d letters: got %q", name, n, got)
			}
		}
	}
}

func TestAKeyOfAnotherTypeThanItSaysIsFound(t *testing.T) {
	body := strings.Fields(string(mustRead("fine-ed25519.pub")))[1]
	if got := judgeKey("ssh-rsa " + body); got != keyBody {
		t.Errorf("got %q, want %q", got, keyBody)
	}
}

func FuzzAnyKeyTextIsJudgedWithoutPanicAndNeverQuoted(f *testing.F) {
	for _, seed := range []string{goodKey, "", "# x", `a="b \" c" ` + goodKey, "ssh-rsa AAAA", "ssh-ed25519\t\xff", "~", "\"", "\\\""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if fault := judgeKey(text); fault == keyFine && !strings.Contains(text, "AAAA") {
			t.Errorf("%q passes as a key", text)
		}
	})
}

func TestALineOfAPubFileIsOneWholeKeyAndNothingElse(t *testing.T) {
	key := strings.TrimSpace(string(mustRead("fine-ed25519.pub")))
	for line, want := range map[string]bool{
		key:                                   true,
		key + " and a comment":                true,
		key[:len(key)/2]:                      false,
		"":                                    false,
		"# " + key:                            false,
		" " + key:                             false,
		`command="x" ` + key:                  false,
		"anything " + key:                     false,
		key + "\n":                            false,
		key + "\n" + key:                      false,
		key + "\x00":                          false,
		"ssh-ed25519 AAAA":                    false,
		"ssh-ed25519":                         false,
		"/home/mia/.ssh/key.pub":              false,
		"-----BEGIN OPENSSH PRIVATE KEY-----": false,
		strings.Replace(key, "ssh-ed25519 ", "ssh-ed25519-cert-v01@openssh.com ", 1): false,
	} {
		if got := IsPublicKey(line); got != want {
			t.Errorf("%q: got %v", line, got)
		}
	}
	for name, want := range map[string]bool{"short-rsa1024.pub": true, "dsa.pub": false} {
		if got := IsPublicKey(strings.TrimSpace(string(mustRead(name)))); got != want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
