package pin

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTheReleaseIsReadWhereTreesOfAllAgesKeepIt(t *testing.T) {
	for _, c := range []struct{ name, file, text, want string }{
		{"nixpkgs", "lib/.version", "24.05", "24.05"},
		{"an old nixpkgs", ".version", "20.09\n", "20.09"},
		{"disko", "version.nix", `{ version = "1.8.2"; released = true; }`, "1.8.2"},
		{"something else", "README", "24.05", ""},
	} {
		tree := t.TempDir()
		path := filepath.Join(tree, c.file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := Release(tree); got != c.want {
			t.Errorf("%s is %q, want %q", c.name, got, c.want)
		}
	}
}
