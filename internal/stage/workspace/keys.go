package workspace

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"

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
		if line = strings.TrimSpace(line); isPublicKey(line) {
			keys = append(keys, Key{Line: line, From: from})
		}
	}
	return keys
}

// isPublicKey checks "TYPE BASE64 [COMMENT]": the encoded key begins with its type again (RFC 4253, 6.6).
func isPublicKey(line string) bool {
	words := strings.Fields(line)
	if len(words) < 2 || strings.ContainsAny(line, "\x00\r\n") || strings.Contains(words[0], "-cert-v") {
		return false
	}
	known := []string{
		"ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
		"sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
	}
	blob, err := base64.StdEncoding.DecodeString(words[1])
	if err != nil || !slices.Contains(known, words[0]) || len(blob) < 4 {
		return false
	}
	n := binary.BigEndian.Uint32(blob)
	rest := blob[4:]
	return int64(n) < int64(len(rest)) && string(rest[:n]) == words[0]
}
