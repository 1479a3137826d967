package install

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"nixos-staged-hive/internal/hive"
)

// Keep says where a hardware-configuration.nix goes, and of what it says that it is.
type Keep struct {
	Folder   string // generated/NAME of the workspace
	Text     string // Nix
	Host     string
	Machine  hive.Machine
	Now      time.Time
	Override bool // replace a file that somebody wrote or changed
}

// configurationName is what NixOS calls the file; the hive imports it where it is there.
const configurationName = "hardware-configuration.nix"

// HandWrittenError is a hardware-configuration.nix that is not as we wrote it. It was left alone.
type HandWrittenError struct{ File string }

func (e *HandWrittenError) Error() string {
	return e.File + " was written or changed by hand, and is left as it is"
}

// Hint says what the user can do.
func (e *HandWrittenError) Hint() string {
	return "compare it with what the machine says (`nixos-staged-hive hardware`), and give --force to replace it"
}

// mark is the end of the header's first line; the sum of what follows the header tells whether it is as we wrote it.
var mark = regexp.MustCompile(`(?m)\A# .*\n# .*sha256 ([0-9a-f]{64})\n`)

// KeepConfiguration writes generated/NAME/hardware-configuration.nix, whole or not at all, and says whether that changed it. The same text is not
// written again, so that its date stays. The error is *HandWrittenError where the file is not as we wrote it.
func KeepConfiguration(k Keep) (changed bool, err error) {
	file := filepath.Join(k.Folder, configurationName)
	old, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return false, err
	default:
		body, ours := bodyOf(string(old))
		if ours && body == k.Text {
			return false, nil
		}
		if !ours && !k.Override {
			return false, &HandWrittenError{File: file}
		}
	}
	if err := replace(file, k.header()+k.Text); err != nil {
		return false, fmt.Errorf("keep the hardware configuration of %s: %w", k.Host, err)
	}
	return true, nil
}

// header says in two lines of comment from which machine, when, and of what sum the text is.
func (k Keep) header() string {
	p := k.Machine.Product
	var machine []string
	for _, part := range []string{p.Vendor, p.Name} {
		if part != "" {
			machine = append(machine, part)
		}
	}
	if p.Serial != "" {
		machine = append(machine, "serial "+p.Serial)
	}
	if len(machine) == 0 {
		machine = []string{"a machine without a name"}
	}
	first := oneLine(fmt.Sprintf("%s: %s, asked %s", k.Host, strings.Join(machine, " "), k.Now.UTC().Format(time.RFC3339)))
	sum := sha256.Sum256([]byte(k.Text))
	return fmt.Sprintf("# %s\n# Written by nixos-staged-hive, which replaces it as long as nobody changes it: sha256 %s\n", first, hex.EncodeToString(sum[:]))
}

// oneLine keeps what a firmware says inside of a comment.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}

// bodyOf gives what is behind the header, and whether it is as we wrote it.
func bodyOf(text string) (body string, ours bool) {
	m := mark.FindStringSubmatch(text)
	if m == nil {
		return "", false
	}
	body = text[len(m[0]):]
	sum := sha256.Sum256([]byte(body))
	return body, hex.EncodeToString(sum[:]) == m[1]
}

// replace writes a file so that a reader sees the old content or the new one, also after a power failure.
func replace(file, text string) error {
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+configurationName+".new-")
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
