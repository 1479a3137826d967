package define

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// layOut puts the Nix side below dir, in a folder named by its content, and returns that folder. It is there already
// after the first run. The rename at its end makes it whole or absent, whatever happens in between.
func layOut(tree fs.FS, dir string) (string, error) {
	sum, err := sumOf(tree)
	if err != nil {
		return "", fmt.Errorf("read the embedded Nix files: %w", err)
	}
	folder := filepath.Join(dir, "nix-"+sum[:16])
	tidy(dir)
	if _, err := os.Stat(filepath.Join(folder, "eval.nix")); err == nil {
		return folder, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("lay out the Nix files: %w", err)
	}
	temp, err := os.MkdirTemp(dir, "nix-new-")
	if err != nil {
		return "", fmt.Errorf("lay out the Nix files: %w", err)
	}
	defer func() { _ = os.RemoveAll(temp) }() // gone after the rename; what a failure leaves is small and in a cache
	if err := os.CopyFS(temp, tree); err != nil {
		return "", fmt.Errorf("lay out the Nix files: %w", err)
	}
	err = os.Rename(temp, folder)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		if _, there := os.Stat(filepath.Join(folder, "eval.nix")); there == nil {
			return folder, nil // another run was faster
		}
		return "", fmt.Errorf("lay out the Nix files: %w", err)
	}
	return folder, nil
}

// abandoned is how old something temporary is when no run can still be using it.
const abandoned = 24 * time.Hour

// tidy removes what killed runs left in the cache: trees that were never finished, and requests. It is a courtesy, so it
// reports nothing.
func tidy(dir string) {
	for _, pattern := range []string{"nix-new-*", "request-*"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			continue
		}
		for _, path := range found {
			if s, err := os.Lstat(path); err == nil && time.Since(s.ModTime()) > abandoned {
				_ = os.RemoveAll(path)
			}
		}
	}
}

// sumOf hashes names and contents of all files.
func sumOf(tree fs.FS) (string, error) {
	sum := sha256.New()
	err := fs.WalkDir(tree, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(tree, path)
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		fmt.Fprintf(sum, "%s\x00%d\x00", path, len(content))
		sum.Write(content)
		return nil
	})
	return hex.EncodeToString(sum.Sum(nil)), err
}
