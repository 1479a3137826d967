package secret

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Names tells what is kept of a host besides its host key, by name: "password", and paths of files. It needs no identity.
func (v Vault) Names(host string) ([]string, error) {
	if err := checkName(host); err != nil {
		return nil, err
	}
	dir := filepath.Join(v.Workspace, "secrets", host)
	names := []string{}
	switch _, err := os.Stat(filepath.Join(dir, "password"+sealedSuffix)); {
	case err == nil:
		names = append(names, "password")
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	entries, err := os.ReadDir(filepath.Join(dir, "files"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		f, err := parseFileName(e.Name())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "files", e.Name()), err)
		}
		names = append(names, f.Path)
	}
	slices.Sort(names)
	return names, nil
}
