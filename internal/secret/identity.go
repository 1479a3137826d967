package secret

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"golang.org/x/crypto/ssh"
)

// MissingIdentityError says that the key which secrets were encrypted to is not on this computer.
type MissingIdentityError struct {
	File   string // where it is looked for
	Secret string // what cannot be read without it, relative to the workspace
}

func (e *MissingIdentityError) Error() string {
	return fmt.Sprintf("%s cannot be read: the identity %s is missing", e.Secret, e.File)
}

// Hint says what the user can do.
func (e *MissingIdentityError) Hint() string {
	return "copy identity.txt from the computer that made the secrets, or from a backup, to " + e.File + " (mode 0600); " +
		"without any copy of it they are lost, and the folders in secrets/ have to be removed and the hosts installed anew"
}

// WrongIdentityError says that secrets were encrypted to other keys than those on this computer.
type WrongIdentityError struct {
	File      string // the identity that was tried
	Recipient string // its public half
	Secret    string // what it does not open, relative to the workspace
}

func (e *WrongIdentityError) Error() string {
	return fmt.Sprintf("%s cannot be read: it was encrypted to other keys than that of %s", e.Secret, e.File)
}

// Hint says what the user can do.
func (e *WrongIdentityError) Hint() string {
	return "let somebody who can read it add the line " + e.Recipient + " to secrets/recipients and encrypt the secrets anew, " +
		"or put back the identity that was used before"
}

// IdentityFile is where the user's identity is: nixos-staged-hive/identity.txt below XDG_CONFIG_HOME, which is ~/.config by default.
func IdentityFile() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find the user's identity: %w", err)
	}
	return filepath.Join(dir, "nixos-staged-hive", "identity.txt"), nil
}

// EnsureIdentity makes an identity in file if there is none, readable by the user alone, and says whether it did. Whoever loses it loses
// the secrets: tell the user to keep a copy.
func EnsureIdentity(file string) (made bool, err error) {
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		return false, err
	}
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return false, fmt.Errorf("make an identity: %w", err)
	}
	text := fmt.Sprintf("# nixos-staged-hive, %s. Secrets of workspaces are encrypted to it: keep a copy in a safe place.\n# public key: %s\n%s\n",
		time.Now().UTC().Format(time.DateOnly), identity.Recipient(), identity)
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, fmt.Errorf("make an identity: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return false, fmt.Errorf("make an identity: %w", err)
	}
	defer root.Close() //nolint:errcheck // only a way to what is written and closed already
	err = folder{root}.create(filepath.Base(file), []byte(text), 0o600)
	if errors.Is(err, os.ErrExist) { // another run was faster; its identity is the one
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("make an identity: %w", err)
	}
	return true, nil
}

// identity is the file's keys; public is for messages, and for writing to oneself.
type identity struct {
	keys   []age.Identity
	public []string
}

// readIdentity wants a file that others cannot read.
func readIdentity(file string) (identity, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return identity{}, err
	}
	f, err := os.Stat(file)
	if err != nil {
		return identity{}, err
	}
	if open := f.Mode().Perm() & 0o077; open != 0 {
		return identity{}, fmt.Errorf("the identity %s is readable by others (mode %04o): `chmod 600 %s`", file, f.Mode().Perm(), file)
	}
	keys, err := age.ParseIdentities(bytes.NewReader(text))
	if err != nil {
		return identity{}, fmt.Errorf("read the identity %s: %w", file, err)
	}
	own := identity{keys: keys}
	for _, k := range keys {
		switch k := k.(type) {
		case *age.X25519Identity:
			own.public = append(own.public, k.Recipient().String())
		case *age.HybridIdentity:
			own.public = append(own.public, k.Recipient().String())
		}
	}
	return own, nil
}

// sshIdentities are the user's own SSH keys that need no passphrase: a team may name these in secrets/recipients, and what is encrypted to
// them alone has to open. What is no such key is passed over.
func sshIdentities(files []string) []age.Identity {
	var keys []age.Identity
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if key, err := agessh.ParseIdentity(text); err == nil {
			keys = append(keys, key)
		}
	}
	return keys
}

// parseRecipients reads lines of recipients: age1..., ssh-ed25519 or ssh-rsa. Empty lines and those with # in front are passed over. All
// that is wrong is told at once.
func parseRecipients(name string, text []byte) (recipients []age.Recipient, err error) {
	var problems []error
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		r, err := parseRecipient(line)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s:%d: %w", name, n, err))
			continue
		}
		recipients = append(recipients, r)
	}
	return recipients, errors.Join(problems...)
}

// parseRecipient never quotes a line: somebody may have pasted the private half.
func parseRecipient(line string) (age.Recipient, error) {
	wrong := errors.New("no recipient: give the public half of an age identity (age1...) or an SSH key (ssh-ed25519, ssh-rsa), one a line")
	switch {
	case strings.HasPrefix(line, "AGE-SECRET-KEY-"):
		return nil, errors.New("this is the private half of an identity: take it out of the file, and make a new identity")
	case strings.HasPrefix(line, "age1"):
		word, _, _ := strings.Cut(line, " ") // a name may follow
		r, err := age.ParseRecipients(strings.NewReader(word))
		if err != nil {
			return nil, wrong
		}
		return r[0], nil
	case strings.HasPrefix(line, ssh.KeyAlgoED25519+" "), strings.HasPrefix(line, ssh.KeyAlgoRSA+" "):
		r, err := agessh.ParseRecipient(line)
		if err != nil {
			return nil, wrong
		}
		return r, nil
	}
	return nil, wrong
}
