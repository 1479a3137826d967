package rehearse

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"nixos-staged-hive/internal/run"
)

// loginKey is the key that lets a rehearsal in. It is made once for a workspace, so that what was built with it can be used again, and
// opens nothing but virtual machines.
type loginKey struct {
	file   string // private key
	public string // line for authorized_keys
}

func makeKey(ctx context.Context, r run.Runner, dir string) (loginKey, error) {
	key := loginKey{file: filepath.Join(dir, "key")}
	public, err := os.ReadFile(key.file + ".pub")
	if errors.Is(err, fs.ErrNotExist) {
		// A private key without its public half is what an interrupted run left.
		if err := os.Remove(key.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return key, fmt.Errorf("make a key for the rehearsal: %w", err)
		}
		err = r.Run(ctx, run.Command{
			Name: "ssh-keygen", Args: []string{"-q", "-t", "ed25519", "-N", "", "-C", "nixos-staged-hive rehearsal", "-f", key.file},
		})
		if err != nil {
			return key, fmt.Errorf("make a key for the rehearsal: %w", err)
		}
		public, err = os.ReadFile(key.file + ".pub")
	}
	if err != nil {
		return key, fmt.Errorf("read the key of the rehearsal: %w", err)
	}
	key.public = strings.TrimSpace(string(public))
	return key, nil
}
