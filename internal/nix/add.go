package nix

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"nixos-staged-hive/internal/run"
)

// storeName is what may follow the hash in a store path (Nix 2.8: checkName in path.cc).
var storeName = regexp.MustCompile(`^[A-Za-z0-9+_?=-][A-Za-z0-9+._?=-]{0,210}$`)

// Add copies a file to the store, under a name of its own there, and returns its store path. Executable stays executable. link is the
// absolute path of a symlink that is made or replaced: as long as it is there, the garbage collector leaves the file. Its folder must exist.
// The store is readable by everyone: never add a secret. The client must run on this machine.
func (c Client) Add(ctx context.Context, file, name, link string) (storePath string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("add %s to the store: %w", file, err)
		}
	}()
	if !storeName.MatchString(name) {
		return "", fmt.Errorf("%q is no name for it", name)
	}
	// nix-store takes the name from the path.
	dir, err := os.MkdirTemp("", "nixos-staged-hive-add-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	named := filepath.Join(dir, name)
	if err := copyFile(named, file); err != nil {
		return "", err
	}
	out, err := run.Output(ctx, c.Run, run.Command{Name: "nix-store", Args: []string{"--add", named}})
	if missing, ok := asMissing(err); ok {
		return "", missing
	}
	if err != nil {
		return "", err
	}
	storePath = strings.TrimSpace(string(out))
	return storePath, c.Run.Run(ctx, run.Command{Name: "nix-store", Args: []string{"--realise", "--add-root", link, storePath}})
}

func copyFile(to, from string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	about, err := source.Stat()
	if err != nil {
		return err
	}
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, about.Mode().Perm()|0o400)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}
