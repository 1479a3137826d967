package secret

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"
)

// Names in the folder of secrets.
const (
	folderName     = "secrets"
	recipientsName = "recipients"
	filesName      = "files"
	hostKeyName    = "ssh_host_ed25519_key"
	passwordName   = "password"
	sealedSuffix   = ".age"
)

// Vault is the secrets of one workspace. Nothing of it is kept in memory between calls.
//
// Its errors are those of the file system, [MissingIdentityError], [WrongIdentityError], and what is wrong with a name or a file. Where there
// are secrets already no new identity is made, because it could not read them.
type Vault struct {
	// Workspace is the user's folder; secrets are in secrets/ there.
	Workspace string
	// Identity is the file of the user's key, see [IdentityFile]. It is made when the first secret is.
	Identity string
	// SSHKeys are private SSH keys of the user that are tried, too, such as ~/.ssh/id_ed25519; those with a passphrase are passed over.
	SSHKeys []string
}

func (v Vault) open() (*opened, error) {
	root, err := os.OpenRoot(v.Workspace)
	if err != nil {
		return nil, fmt.Errorf("open the secrets of a workspace: %w", err)
	}
	return &opened{Vault: v, folder: folder{root}}, nil
}

// opened is a vault with its folder open, and what was read so far of who can read.
type opened struct {
	Vault
	folder
	own *identity
}

func (o *opened) close() error { return o.root.Close() }

// with opens the vault for do.
func (v Vault) with(do func(*opened) error) error {
	o, err := v.open()
	if err != nil {
		return err
	}
	return errors.Join(do(o), o.close())
}

// HostKey gives the public host key of a host, "ssh-ed25519 BASE64 COMMENT", without any identity; empty if there is none yet.
func (v Vault) HostKey(host string) (public string, err error) {
	err = v.with(func(o *opened) error {
		public, err = o.hostKey(host)
		return err
	})
	return public, err
}

func (o *opened) hostKey(host string) (string, error) {
	if err := checkName(host); err != nil {
		return "", err
	}
	name := place(host, hostKeyName+".pub")
	text, err := o.read(name)
	if err != nil || text == nil {
		return "", err
	}
	line := strings.TrimSpace(string(text))
	if _, err := parsePublic(line); err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	return line, nil
}

// EnsureHostKey gives the public host key of a host, and makes a key if there is none. A key that is there and cannot be read is never
// replaced: the host that has it would not be recognised any more.
func (v Vault) EnsureHostKey(host string) (public string, made bool, err error) {
	err = v.with(func(o *opened) error {
		public, made, err = o.ensureHostKey(host)
		return err
	})
	return public, made, err
}

func (o *opened) ensureHostKey(host string) (public string, made bool, err error) {
	public, err = o.hostKey(host)
	if err != nil {
		return "", false, err
	}
	sealed, err := o.has(place(host, hostKeyName+sealedSuffix))
	switch {
	case err != nil:
		return "", false, err
	case public != "" && sealed:
		return public, false, nil
	case public != "":
		return "", false, fmt.Errorf("%s is there, and its private half %s%s is not: bring it back, or remove the first to make a new key "+
			"(a machine that has the old one will not be recognised any more)", place(host, hostKeyName+".pub"), hostKeyName, sealedSuffix)
	case sealed: // a run was interrupted between the two
		return o.completeHostKey(host)
	}
	return o.makeHostKey(host)
}

func (o *opened) completeHostKey(host string) (string, bool, error) {
	private, err := o.unseal(place(host, hostKeyName+sealedSuffix))
	if err != nil {
		return "", false, err
	}
	key, err := publicOf(string(private))
	if err != nil {
		return "", false, fmt.Errorf("%s: %w", place(host, hostKeyName+sealedSuffix), err)
	}
	return o.writePublic(host, key)
}

func (o *opened) makeHostKey(host string) (string, bool, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", false, fmt.Errorf("make a host key for %s: %w", host, err)
	}
	block, err := ssh.MarshalPrivateKey(private, host)
	if err != nil {
		return "", false, fmt.Errorf("make a host key for %s: %w", host, err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return "", false, fmt.Errorf("make a host key for %s: %w", host, err)
	}
	// the private half first: with it alone the other can be told again
	err = o.seal(place(host, hostKeyName+sealedSuffix), pem.EncodeToMemory(block), o.create)
	if errors.Is(err, fs.ErrExist) { // another run was faster; its key is the one
		return o.completeHostKey(host)
	}
	if err != nil {
		return "", false, err
	}
	return o.writePublic(host, key)
}

func (o *opened) writePublic(host string, key ssh.PublicKey) (string, bool, error) {
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) + " " + host
	return line, true, o.replace(place(host, hostKeyName+".pub"), []byte(line+"\n"), 0o644)
}

// SetPassword keeps a password hash (crypt(5)) for a host's deployer, which then wins over the one that the definition has.
func (v Vault) SetPassword(host, hash string) error {
	if err := errors.Join(checkName(host), checkHash(hash)); err != nil {
		return fmt.Errorf("keep a password of %s: %w", host, err)
	}
	return v.with(func(o *opened) error {
		return o.seal(place(host, passwordName+sealedSuffix), []byte(hash+"\n"), o.replace)
	})
}

// SetFile keeps a file that a host's medium gets, in place of one with the same path.
func (v Vault) SetFile(host string, f File) error {
	if err := errors.Join(checkName(host), f.check()); err != nil {
		return fmt.Errorf("keep a file of %s: %w", host, err)
	}
	return v.with(func(o *opened) error {
		if err := o.seal(place(host, filesName, fileName(f)), f.Content, o.replace); err != nil {
			return err
		}
		return o.removeFile(host, f.Path, fileName(f))
	})
}

// RemoveFile forgets a file; one that is not there is none to forget.
func (v Vault) RemoveFile(host, filePath string) error {
	if err := errors.Join(checkName(host), checkPath(filePath)); err != nil {
		return fmt.Errorf("forget a file of %s: %w", host, err)
	}
	return v.with(func(o *opened) error { return o.removeFile(host, filePath, "") })
}

// removeFile removes all entries for a path but one: the mode is in the name.
func (o *opened) removeFile(host, filePath, but string) error {
	entries, err := o.entries(host)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.file.Path == filePath && e.name != but {
			if err := o.root.Remove(place(host, filesName, e.name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Bundle gives all secrets of a host; evaluated is the password hash of its definition, empty without one. A host without a key has none
// in its bundle, see EnsureHostKey.
func (v Vault) Bundle(host, evaluated string) (b Bundle, err error) {
	if err := checkName(host); err != nil {
		return Bundle{}, err
	}
	err = v.with(func(o *opened) error {
		b, err = o.bundle(host, evaluated)
		return err
	})
	if err != nil {
		return Bundle{}, err
	}
	return b, b.Check()
}

func (o *opened) bundle(host, evaluated string) (Bundle, error) {
	public, err := o.hostKey(host)
	if err != nil {
		return Bundle{}, err
	}
	private, err := o.unseal(place(host, hostKeyName+sealedSuffix))
	if err != nil {
		return Bundle{}, err
	}
	hash, err := o.unseal(place(host, passwordName+sealedSuffix))
	if err != nil {
		return Bundle{}, err
	}
	files, err := o.files(host)
	return Bundle{
		Host: host, HostKey: string(private), HostKeyPub: public,
		PasswordHash: cmp.Or(strings.TrimSpace(string(hash)), evaluated), Files: files,
	}, err
}

func (o *opened) files(host string) ([]File, error) {
	entries, err := o.entries(host)
	if err != nil {
		return nil, err
	}
	var files []File
	for _, e := range entries {
		if e.file.Content, err = o.unseal(place(host, filesName, e.name)); err != nil {
			return nil, err
		}
		files = append(files, e.file)
	}
	return files, nil
}

// entry is an encrypted file with what its name says of it.
type entry struct {
	name string
	file File
}

func (o *opened) entries(host string) ([]entry, error) {
	names, err := o.list(place(host, filesName))
	if err != nil {
		return nil, err
	}
	var entries []entry
	for _, name := range names {
		f, err := parseFileName(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", place(host, filesName, name), err)
		}
		entries = append(entries, entry{name, f})
	}
	return entries, nil
}

// list gives what is in a folder, without hidden files; nothing if there is no such folder.
func (o *opened) list(name string) ([]string, error) {
	dir, err := fs.ReadDir(o.root.FS(), name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range dir {
		if !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Rekey encrypts all secrets anew, to those who are to read them now: after a change of secrets/recipients. Each is decrypted before the
// first is written.
func (v Vault) Rekey() error {
	return v.with(func(o *opened) error {
		names, err := o.sealed()
		if err != nil {
			return err
		}
		plain := map[string][]byte{}
		for _, name := range names {
			if plain[name], err = o.unseal(name); err != nil {
				return err
			}
		}
		for _, name := range names {
			if err := o.seal(name, plain[name], o.replace); err != nil {
				return err
			}
		}
		return nil
	})
}

// sealed lists all encrypted files of the workspace.
func (o *opened) sealed() ([]string, error) {
	var names []string
	err := fs.WalkDir(o.root.FS(), folderName, func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && e.Type().IsRegular() && strings.HasSuffix(name, sealedSuffix) && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list secrets: %w", err)
	}
	return names, nil
}

func (o *opened) has(name string) (bool, error) {
	_, err := o.root.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// unseal reads an encrypted file; nil if there is none.
func (o *opened) unseal(name string) ([]byte, error) {
	box, err := o.read(name)
	if err != nil || box == nil {
		return nil, err
	}
	own, err := o.identity()
	keys := sshIdentities(o.SSHKeys)
	if errors.Is(err, fs.ErrNotExist) && len(keys) == 0 {
		return nil, &MissingIdentityError{File: o.Identity, Secret: name}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	plain, err := decrypt(box, append(slices.Clone(own.keys), keys...)...)
	if _, wrong := errors.AsType[*age.NoIdentityMatchError](err); wrong {
		if len(own.keys) == 0 {
			return nil, &MissingIdentityError{File: o.Identity, Secret: name}
		}
		return nil, &WrongIdentityError{File: o.Identity, Recipient: own.public[0], Secret: name}
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return plain, nil
}

// seal encrypts to the user and to everyone in secrets/recipients, and lets write put it to its place.
func (o *opened) seal(name string, plain []byte, write func(string, []byte, fs.FileMode) error) error {
	to, err := o.recipients()
	if err != nil {
		return err
	}
	box, err := encrypt(plain, to...)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return write(name, box, 0o600)
}

func (o *opened) recipients() ([]age.Recipient, error) {
	if err := o.ensureIdentity(); err != nil {
		return nil, err
	}
	own, err := o.identity()
	if err != nil {
		return nil, err
	}
	name := place(recipientsName)
	text, err := o.read(name)
	if err != nil {
		return nil, err
	}
	mine, err := parseRecipients(o.Identity, []byte(strings.Join(own.public, "\n")))
	if err != nil {
		return nil, err
	}
	others, err := parseRecipients(name, text)
	return append(mine, others...), err
}

// ensureIdentity makes the first identity. Where secrets are there already a new one could not read them.
func (o *opened) ensureIdentity() error {
	if _, err := os.Stat(o.Identity); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	names, err := o.sealed()
	if err != nil {
		return err
	}
	if len(names) > 0 && len(sshIdentities(o.SSHKeys)) == 0 {
		return &MissingIdentityError{File: o.Identity, Secret: names[0]}
	}
	_, err = EnsureIdentity(o.Identity)
	return err
}

func (o *opened) identity() (identity, error) {
	if o.own == nil {
		own, err := readIdentity(o.Identity)
		if err != nil {
			return identity{}, err
		}
		o.own = &own
	}
	return *o.own, nil
}

// place is a path below the folder of secrets.
func place(names ...string) string { return path.Join(append([]string{folderName}, names...)...) }
