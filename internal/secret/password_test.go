package secret

import (
	"os/exec"
	"strings"
	"testing"

	"nixos-staged-hive/internal/testbed/need"
)

func TestHashIsOneThatTheSystemsLibcryptAccepts(t *testing.T) {
	hash, err := HashPassword("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$6$rounds=500000$") {
		t.Fatalf("hash %s", hash)
	}
	// Perl's crypt is the system's libcrypt
	perl := need.Program(t, "perl")
	for word, want := range map[string]bool{"correct horse": true, "battery staple": false} {
		out, err := exec.Command(perl, "-e", "print crypt($ARGV[0], $ARGV[1])", word, hash).Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := string(out) == hash; got != want {
			t.Errorf("%q opens it: %v, want %v", word, got, want)
		}
	}
	if again, err := HashPassword("correct horse"); err != nil || again == hash {
		t.Errorf("a second hash has the same salt: %v", err)
	}
	if _, err := HashPassword(""); err == nil {
		t.Error("an empty password was hashed")
	}
}
