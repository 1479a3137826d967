package secret

import (
	"errors"
	"fmt"

	"github.com/go-crypt/crypt/algorithm/shacrypt"
)

// rounds make a guess take about a tenth of a second. glibc's default of 5000 is from 2007.
const rounds = 500_000

// HashPassword gives a hash for hashedPasswordFile: SHA-512 crypt, which every libcrypt knows (crypt(5)).
func HashPassword(word string) (string, error) {
	if word == "" {
		return "", errors.New("hash a password: it is empty")
	}
	hasher, err := shacrypt.New(shacrypt.WithSHA512(), shacrypt.WithRounds(rounds))
	if err != nil {
		return "", fmt.Errorf("hash a password: %w", err)
	}
	digest, err := hasher.Hash(word)
	if err != nil {
		return "", fmt.Errorf("hash a password: %w", err)
	}
	return digest.Encode(), nil
}
