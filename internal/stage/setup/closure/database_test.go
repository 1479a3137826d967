package closure_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/stage/setup/closure"
	"nixos-staged-hive/internal/testbed/need"
)

// TestRegisterMendsADatabaseThatLostItsSchema has real Nix see its own database after a power failure: the file with the number of the schema is there
// and empty. Nix alone says "is corrupt" then, in every further run.
func TestRegisterMendsADatabaseThatLostItsSchema(t *testing.T) {
	need.Program(t, "nix-store")
	root := t.TempDir()
	name := "/nix/store/" + strings.Repeat("a", 32) + "-some"
	must(t, os.MkdirAll(filepath.Join(root, name), 0o755))
	hash, err := exec.Command("nix-hash", "--type", "sha256", filepath.Join(root, name)).Output()
	must(t, err)
	registration := filepath.Join(t.TempDir(), "registration")
	must(t, os.WriteFile(registration, []byte(name+"\nsha256:"+strings.TrimSpace(string(hash))+"\n96\n\n0\n"), 0o600))
	schema := filepath.Join(root, "nix/var/nix/db/schema")

	must(t, closure.Register(t.Context(), run.Local{}, root, registration, io.Discard))
	number, err := os.ReadFile(schema)
	must(t, err)
	for _, left := range []string{"", "\x00\x00", string(number)} {
		must(t, os.WriteFile(schema, []byte(left), 0o600))
		must(t, closure.Register(t.Context(), run.Local{}, root, registration, io.Discard))
		if out, err := exec.Command("nix-store", "--store", root, "--query", "--hash", name).CombinedOutput(); err != nil {
			t.Errorf("with a schema of %q: %v\n%s", left, err, out)
		}
		if now, err := os.ReadFile(schema); err != nil || string(now) != string(number) {
			t.Errorf("with a schema of %q it is now %q: %v", left, now, err)
		}
	}
}
