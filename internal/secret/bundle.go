package secret

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"

	"golang.org/x/crypto/ssh"
)

// bundleLimit is the most that is read of a bundle, in bytes of JSON. A region is no larger.
const bundleLimit = RegionSize

// Bundle is what a medium is given to know of one host and nobody else may. It is never written to a disk as it is, nor shown: its
// String names the host alone.
type Bundle struct {
	Host         string `json:"host"`         // name of the definition
	HostKey      string `json:"hostKey"`      // private, as in /etc/ssh/ssh_host_ed25519_key (PEM)
	HostKeyPub   string `json:"hostKeyPub"`   // its public half: "ssh-ed25519 BASE64 COMMENT"
	PasswordHash string `json:"passwordHash"` // of the deployer, crypt(5); empty without a password
	Files        []File `json:"files"`        // placed on the medium before anything is formatted
}

// File is a file that the medium gets, such as the key of an encrypted disk.
type File struct {
	Path    string `json:"path"` // absolute, on the medium
	Mode    uint32 `json:"mode"` // permission bits
	Content []byte `json:"content"`
}

// String names the host, never a secret.
func (b Bundle) String() string { return "secrets of " + b.Host }

// GoString is String: %#v would show all.
func (b Bundle) GoString() string { return b.String() }

// String names the file, never its content.
func (f File) String() string { return fmt.Sprintf("secret file %s (mode %04o)", f.Path, f.Mode) }

// GoString is String: %#v would show all.
func (f File) GoString() string { return f.String() }

// Encode gives the JSON form that [DecodeBundle] reads.
func (b Bundle) Encode() ([]byte, error) {
	if err := b.Check(); err != nil {
		return nil, err
	}
	text, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("encode the %s: %w", b, err)
	}
	return text, nil
}

// DecodeBundle reads what Encode gave, to the end of r, and checks it.
func DecodeBundle(r io.Reader) (Bundle, error) {
	text, err := io.ReadAll(io.LimitReader(r, bundleLimit+1))
	if err != nil {
		return Bundle{}, fmt.Errorf("read secrets: %w", err)
	}
	if len(text) > bundleLimit {
		return Bundle{}, fmt.Errorf("read secrets: more than %d bytes", bundleLimit)
	}
	var b Bundle
	if err := decode(text, &b); err != nil {
		return Bundle{}, fmt.Errorf("read secrets: %w", err)
	}
	return b, b.Check()
}

// decode reads one JSON value and nothing behind it. Its errors never quote the text.
func decode(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		if fault, ok := errors.AsType[*json.SyntaxError](err); ok {
			return fmt.Errorf("no JSON at byte %d", fault.Offset)
		}
		if fault, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return fmt.Errorf("another kind of value than expected in %s", fault.Field)
		}
		return errors.New("not the JSON that is expected here")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON")
	}
	return nil
}

// Check tells what is wrong with a bundle, all of it.
func (b Bundle) Check() error {
	var problems []error
	add := func(err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", b, err))
		}
	}
	add(checkName(b.Host))
	if b.HostKey != "" || b.HostKeyPub != "" {
		add(checkPair(b.HostKey, b.HostKeyPub))
	}
	if b.PasswordHash != "" {
		add(checkHash(b.PasswordHash))
	}
	seen := map[string]bool{}
	for _, f := range b.Files {
		add(f.check())
		if seen[f.Path] {
			add(fmt.Errorf("%s: it is there twice", f))
		}
		seen[f.Path] = true
	}
	return errors.Join(problems...)
}

func (f File) check() error {
	if err := checkPath(f.Path); err != nil {
		return err
	}
	if f.Mode == 0 || f.Mode&^0o777 != 0 {
		return fmt.Errorf("file %s: mode %04o is not one of permission bits", f.Path, f.Mode)
	}
	return nil
}

// checkPath refuses what is not one plain absolute path. Folders of the running system hold nothing that a file could be put to.
func checkPath(name string) error {
	if !strings.HasPrefix(name, "/") || path.Clean(name) != name || name == "/" || strings.ContainsAny(name, "\x00\n") {
		return fmt.Errorf("file %q: the path must be absolute, without dots, doubled slashes and line breaks", name)
	}
	return nil
}

// plainName is what a host's name may be here, where it becomes a folder.
var plainName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$`)

func checkName(host string) error {
	if !plainName.MatchString(host) {
		return fmt.Errorf("host name %q cannot name a folder of secrets", host)
	}
	return nil
}

// A hash of crypt(5). What has no $ is DES or none at all: "!" and "*" lock an account, which is the business of the definition.
var passwordHash = regexp.MustCompile(`^\$[A-Za-z0-9]+\$[^:\s]+$`)

func checkHash(hash string) error {
	if !passwordHash.MatchString(hash) {
		return errors.New("the password is not a hash of crypt(5): `mkpasswd -m yescrypt` makes one")
	}
	return nil
}

// checkPair makes sure that two texts are the halves of one Ed25519 key.
func checkPair(private, public string) error {
	of, err := publicOf(private)
	if err != nil {
		return err
	}
	key, err := parsePublic(public)
	if err != nil {
		return err
	}
	if !bytes.Equal(of.Marshal(), key.Marshal()) {
		return errors.New("the host key's public half belongs to another key")
	}
	return nil
}

// publicOf gives the public half of a private key. The parser's own errors are dropped: they may quote the text.
func publicOf(private string) (ssh.PublicKey, error) {
	key, err := ssh.ParseRawPrivateKey([]byte(private))
	own, ok := key.(*ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, errors.New("the host key is not a private Ed25519 key in OpenSSH's form, without a passphrase")
	}
	public, err := ssh.NewPublicKey(own.Public())
	if err != nil {
		return nil, fmt.Errorf("take the public half of the host key: %w", err)
	}
	return public, nil
}

func parsePublic(line string) (ssh.PublicKey, error) {
	key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil || len(options) > 0 || len(bytes.TrimSpace(rest)) > 0 || key.Type() != ssh.KeyAlgoED25519 {
		return nil, fmt.Errorf("%.80q is not one public Ed25519 key", line)
	}
	return key, nil
}

// Fingerprint is what ssh shows of a public key, "SHA256:...": compare it with the screen of a machine.
func Fingerprint(public string) (string, error) {
	key, err := parsePublic(public)
	if err != nil {
		return "", fmt.Errorf("take a fingerprint: %w", err)
	}
	return ssh.FingerprintSHA256(key), nil
}
