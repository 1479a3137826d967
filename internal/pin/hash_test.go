package pin

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"testing"

	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/need"
)

func TestStorePathIsTheOneNixPrints(t *testing.T) {
	need.Store(t)
	for i := range 8 {
		sum := sha256.Sum256([]byte(strconv.Itoa(i)))
		out, err := run.Output(t.Context(), run.Local{}, run.Command{
			Name: "nix-store", Args: []string{"--print-fixed-path", "--recursive", "sha256", hex.EncodeToString(sum[:]), "source"},
		})
		if err != nil {
			t.Fatal(err)
		}
		want := strings.TrimSpace(string(out))
		got, err := StorePath(want[:strings.LastIndex(want, "/")], sri(sum[:]))
		if err != nil || got != want {
			t.Errorf("StorePath = %q, %v; nix-store says %q", got, err, want)
		}
	}
}

func TestHashesAreSpelledAsNixSpellsThem(t *testing.T) {
	need.Store(t)
	sum := sha256.Sum256([]byte("x"))
	out, err := run.Output(t.Context(), run.Local{}, run.Command{
		Name: "nix-hash", Args: []string{"--type", "sha256", "--to-base32", hex.EncodeToString(sum[:])},
	})
	if err != nil {
		t.Fatal(err)
	}
	base32 := strings.TrimSpace(string(out))
	if got := encode32(sum[:]); got != base32 {
		t.Errorf("encode32 = %q, nix-hash says %q", got, base32)
	}
	if got, err := sriFrom32("sha256:" + base32); err != nil || got != sri(sum[:]) {
		t.Errorf("sriFrom32 = %q, %v", got, err)
	}
}

func TestStorePathRefusesWhatIsNoHash(t *testing.T) {
	for _, hash := range []string{"", "sha256-", "sha256-AAAA", "md5-AAAA", "sha256:0000", "sha256-" + strings.Repeat("A", 44)} {
		if p, err := StorePath("/nix/store", hash); err == nil {
			t.Errorf("StorePath(%q) = %q, want an error", hash, p)
		}
	}
	good := sri(make([]byte, 32))
	for _, store := range []string{"", "nix/store", "/nix/store/", "/nix/../nix/store"} {
		if p, err := StorePath(store, good); err == nil {
			t.Errorf("store %q gave %q, want an error", store, p)
		}
	}
}

func TestAnEntryWhoseHashAndStorePathDisagreeIsRefused(t *testing.T) {
	hash := sri(make([]byte, 32))
	good, err := StorePath("/nix/store", hash)
	if err != nil {
		t.Fatal(err)
	}
	l := Locked{Spec: "nixos-24.05", NarHash: hash, StorePath: good}
	if err := l.Check(); err != nil {
		t.Errorf("a good entry: %v", err)
	}
	l.NarHash = sri(bytes.Repeat([]byte{1}, 32))
	if err := l.Check(); err == nil || !strings.Contains(err.Error(), "does not belong to hash") {
		t.Errorf("a changed hash: %v", err)
	}
}

func FuzzBase32(f *testing.F) {
	f.Add([]byte("0123456789abcdefghij"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		text := encode32(b)
		back, err := decode32(text)
		if err != nil || !bytes.Equal(back, b) {
			t.Errorf("%x -> %q -> %x, %v", b, text, back, err)
		}
	})
}

func FuzzDecode32(f *testing.F) {
	f.Add("0fhkbqssss14hz3lnmf3xly3y40vcaac71h32y71mv073kaz9js7")
	f.Add("zz")
	f.Fuzz(func(t *testing.T, s string) {
		b, err := decode32(s)
		if err != nil || (len(b)*8+4)/5 != len(s) {
			return
		}
		if again := encode32(b); again != s {
			t.Errorf("%q -> %x -> %q", s, b, again)
		}
	})
}
