package closure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"nixos-staged-hive/internal/run"
)

// schemaFile is where Nix notes the format of its database, below the root of a store: the last thing it writes when it makes one.
const schemaFile = "nix/var/nix/db/schema"

// Register tells the Nix of a target which paths it has, as the registration of closureInfo lists them, and returns once that is on the disk: Nix does
// not flush all of what it writes (2.18: schema), and what comes later relies on it. What programs say goes to said.
func Register(ctx context.Context, runner run.Runner, root, registration string, said io.Writer) error {
	if err := mend(root); err != nil {
		return fmt.Errorf("look at Nix' database: %w", err)
	}
	f, err := os.Open(registration)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	err = runner.Run(ctx, run.Command{Name: "nix-store", Args: []string{"--store", root, "--load-db"}, Stdin: f, Stdout: said})
	if err != nil {
		return err
	}
	return syncfs(filepath.Join(root, filepath.Dir(schemaFile)))
}

// mend removes a schema file that a power failure left without its number: Nix refuses such a database for ever as corrupt. Without the file it
// makes what is missing in the database and leaves what is there (src/libstore/schema.sql: create table if not exists).
func mend(root string) error {
	name := filepath.Join(root, schemaFile)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := strconv.Atoi(string(bytes.TrimSpace(text))); err == nil {
		return nil
	}
	return os.Remove(name)
}
