package workspace

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
)

// Key is a public SSH key of the person at the keyboard.
type Key struct {
	Line string // a line of authorized_keys(5)
	From string // file it was read from, or "ssh-agent"
}

// FindKeys looks for public keys in home's .ssh folder, the ones ssh itself tries first in front, and asks the ssh-agent if there are
// none. Finding none is no error.
func FindKeys(ctx context.Context, r run.Runner, home string) []Key {
	keys := keysInFolder(filepath.Join(home, ".ssh"))
	if len(keys) > 0 || os.Getenv("SSH_AUTH_SOCK") == "" {
		return keys
	}
	out, err := run.Output(ctx, r, run.Command{Name: "ssh-add", Args: []string{"-L"}})
	if err != nil {
		return nil // no agent, no keys in it, or no ssh: all the same here
	}
	return publicKeys(string(out), "ssh-agent")
}

func keysInFolder(dir string) []Key {
	files, err := filepath.Glob(filepath.Join(escapePattern(dir), "*.pub"))
	if err != nil {
		return nil
	}
	slices.SortStableFunc(files, func(a, b string) int { return rank(a) - rank(b) })
	var keys []Key
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil {
			keys = append(keys, publicKeys(string(text), f)...)
		}
	}
	return keys
}

// escapePattern keeps a home folder with brackets in its name from being read as a pattern.
func escapePattern(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// rank puts the kinds of keys in order: Ed25519, held in a token or not, then the others.
func rank(file string) int {
	order := []string{"id_ed25519.pub", "id_ed25519_sk.pub", "id_ecdsa.pub", "id_ecdsa_sk.pub", "id_rsa.pub"}
	if i := slices.Index(order, filepath.Base(file)); i >= 0 {
		return i
	}
	return len(order)
}

// publicKeys picks the lines that are a key. Certificates are not: they cannot stand in authorized_keys.
func publicKeys(text, from string) []Key {
	var keys []Key
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); hive.IsPublicKey(line) {
			keys = append(keys, Key{Line: line, From: from})
		}
	}
	return keys
}
