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
