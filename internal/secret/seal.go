package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"filippo.io/age"
)

// workFactor is the base-2 logarithm of scrypt's N for a passphrase: 128 MiB of memory, about half a second on a desktop of 2020 and two
// on the small machines that are installed, for each guess.
const workFactor = 17

// Sealed are the secrets of several hosts under one passphrase: whoever finds the medium has to guess it.
type Sealed struct {
	Names []string `json:"names"` // the hosts, sorted; not secret
	Box   []byte   `json:"box"`   // age, with the passphrase as only recipient
}

// ErrPassphrase is a passphrase that does not open a [Sealed].
var ErrPassphrase = errors.New("the passphrase does not open the secrets on this medium")

// Seal puts secrets under a passphrase. It takes about a second.
func Seal(hosts map[string]Bundle, passphrase string) (Package, error) {
	if passphrase == "" {
		return Package{}, errors.New("seal secrets: the passphrase is empty")
	}
	if err := (Package{Hosts: hosts}).Check(); err != nil {
		return Package{}, fmt.Errorf("seal secrets: %w", err)
	}
	recipient, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return Package{}, fmt.Errorf("seal secrets: %w", err)
	}
	recipient.SetWorkFactor(workFactor)
	text, err := json.Marshal(hosts)
	if err != nil {
		return Package{}, fmt.Errorf("seal secrets: %w", err)
	}
	box, err := encrypt(text, recipient)
	if err != nil {
		return Package{}, fmt.Errorf("seal secrets: %w", err)
	}
	return Package{Sealed: &Sealed{Names: slices.Sorted(maps.Keys(hosts)), Box: box}}, nil
}

// Open takes the secrets out. The error of a wrong passphrase is [ErrPassphrase]. It takes about a second.
func (s *Sealed) Open(passphrase string) (map[string]Bundle, error) {
	if passphrase == "" {
		return nil, ErrPassphrase
	}
	identity, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, fmt.Errorf("open secrets: %w", err)
	}
	identity.SetMaxWorkFactor(workFactor) // a forged medium must not take all of the machine's memory
	text, err := decrypt(s.Box, identity)
	if _, wrong := errors.AsType[*age.NoIdentityMatchError](err); wrong {
		return nil, ErrPassphrase
	}
	if err != nil {
		return nil, fmt.Errorf("open secrets: %w", err)
	}
	hosts := map[string]Bundle{}
	if err := decode(text, &hosts); err != nil {
		return nil, fmt.Errorf("open secrets: %w", err)
	}
	open := Package{Hosts: hosts}
	if err := open.Check(); err != nil {
		return nil, fmt.Errorf("open secrets: %w", err)
	}
	if !slices.Equal(open.Names(), s.Names) {
		return nil, errors.New("open secrets: they are of other hosts than the medium says")
	}
	return hosts, nil
}

func (s *Sealed) check() error {
	var problems []error
	for i, name := range s.Names {
		problems = append(problems, checkName(name))
		if i > 0 && s.Names[i-1] >= name {
			problems = append(problems, errors.New("the names of sealed secrets are not in order"))
		}
	}
	if len(s.Box) == 0 {
		problems = append(problems, errors.New("sealed secrets are empty"))
	}
	return errors.Join(problems...)
}

func encrypt(plain []byte, to ...age.Recipient) ([]byte, error) {
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to...)
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	_, err = w.Write(plain)
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	return out.Bytes(), nil
}

func decrypt(box []byte, with ...age.Identity) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(box), with...)
	if err != nil {
		return nil, fmt.Errorf("decrypt: %w", err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("decrypt: %w", err)
	}
	return plain, nil
}
