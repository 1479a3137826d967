package secret

import (
	"path/filepath"
	"slices"
	"testing"
)

func TestWhatIsKeptIsToldByNameWithoutAnIdentity(t *testing.T) {
	dir := t.TempDir()
	v := Vault{Workspace: dir, Identity: filepath.Join(dir, "identity.txt")}
	if names, err := v.Names("web"); err != nil || names == nil || len(names) != 0 {
		t.Errorf("%v, %v of a host without secrets", names, err)
	}
	if err := v.SetFile("web", File{Path: "/tmp/secret.key", Mode: 0o600, Content: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if err := v.SetPassword("web", "$6$rounds=5000$saltsalt$"+string(make86())); err != nil {
		t.Fatal(err)
	}
	names, err := Vault{Workspace: dir, Identity: "/nowhere"}.Names("web")
	if err != nil || !slices.Equal(names, []string{"/tmp/secret.key", "password"}) {
		t.Errorf("%v, %v", names, err)
	}
	if _, err := v.Names("../web"); err == nil {
		t.Error("a name that leaves the folder was taken")
	}
}

// make86 is as long as a hash of SHA-512 crypt.
func make86() []byte {
	b := make([]byte, 86)
	for i := range b {
		b[i] = 'a'
	}
	return b
}
