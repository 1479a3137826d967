package hive

import (
	"encoding/base64"
	"encoding/binary"
	"math/big"
	"slices"
	"strings"
)

// keyFault says what is wrong with an OpenSSH key line.
type keyFault string

// The faults, as the rest of a sentence about the key. None of them quotes the key: it may be a private one.
const (
	keyFine     keyFault = ""
	keyPrivate  keyFault = "is a private key: it is readable in the Nix store now and must be replaced"
	keyPath     keyFault = "is the path of a file, not its content"
	keyForeign  keyFault = "is in a format of other programs (RFC 4716 or PuTTY), not OpenSSH's one line"
	keyType     keyFault = "does not begin with a key type such as ssh-ed25519"
	keyBody     keyFault = "is cut off or mistyped: what follows the type is no base64 of a key of that type"
	keyEmpty    keyFault = "is empty"
	keyDSA      keyFault = "is a DSA key, which OpenSSH 7.0 and newer refuse"
	keyShortRSA keyFault = "is an RSA key of less than 2048 bits"
)

// Sizes of key material: an Ed25519 public key in bytes (RFC 8032), and the least an RSA modulus should have in bits
// (NIST SP 800-131A).
const (
	ed25519Bytes = 32
	shortestRSA  = 2048
)

// IsPublicKey reports whether line is one that ssh-keygen writes to a .pub file, "TYPE BASE64 [COMMENT]", with a whole key that sshd
// takes. Options in front, which authorized_keys may have, are not: they cannot be told from other text. Neither is a certificate.
func IsPublicKey(line string) bool {
	kind, _ := cutWord(line)
	fault := judgeKey(line)
	return (fault == keyFine || fault == keyShortRSA) && slices.Contains(keyTypes(), kind) && !strings.ContainsAny(line, "\x00\r\n")
}

// judgeKey looks at one entry of an authorizedKeys.keys list: one or more lines in the form of sshd(8)'s authorized_keys
// file. The worst line decides.
func judgeKey(entry string) keyFault {
	switch {
	case strings.Contains(entry, "PRIVATE KEY"), strings.Contains(entry, "Private-Lines:"):
		return keyPrivate
	case strings.Contains(entry, "---- BEGIN SSH2"), strings.Contains(entry, "PuTTY-User-Key-File"):
		return keyForeign
	}
	fault, lines := keyFine, 0
	for line := range strings.Lines(entry) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		lines++
		if f := judgeKeyLine(line); f != keyFine {
			fault = f
		}
	}
	if lines == 0 {
		return keyEmpty
	}
	return fault
}

// judgeKeyLine judges "[options] type base64 [comment]".
func judgeKeyLine(line string) keyFault {
	kind, rest := cutWord(line)
	if !slices.Contains(keyTypes(), kind) {
		if len(rest) == 0 && (strings.HasSuffix(line, ".pub") || strings.ContainsRune("/~.", rune(line[0]))) {
			return keyPath
		}
		kind, rest = cutWord(rest)
	}
	if !slices.Contains(keyTypes(), kind) {
		return keyType
	}
	body, _ := cutWord(rest)
	blob, err := base64.StdEncoding.DecodeString(body)
	if err != nil {
		return keyBody
	}
	return judgeBlob(kind, blob)
}

// keyTypes are the types a line of authorized_keys may have in OpenSSH 9 (ssh -Q key-plain), and the refused ssh-dss.
func keyTypes() []string {
	return []string{
		"ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
		"sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com", "ssh-dss",
	}
}

// cutWord splits at the first blank that is not inside double quotes: options may hold blanks in quotes, and a quote
// behind a backslash does not close them (sshd(8), AUTHORIZED_KEYS FILE FORMAT).
func cutWord(line string) (word, rest string) {
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && i+1 < len(line) && line[i+1] == '"':
			i++
		case c == '"':
			quoted = !quoted
		case (c == ' ' || c == '\t') && !quoted:
			return line[:i], strings.TrimLeft(line[i:], " \t")
		}
	}
	return line, ""
}

// judgeBlob reads the wire form of a public key (RFC 4253 6.6, RFC 8709 4): strings with a length before them, the first
// of which repeats the type.
func judgeBlob(kind string, blob []byte) keyFault {
	fields, whole := blobFields(blob)
	if !whole || len(fields) < 2 || string(fields[0]) != kind {
		return keyBody
	}
	switch kind {
	case "ssh-ed25519":
		if len(fields) != 2 || len(fields[1]) != ed25519Bytes {
			return keyBody
		}
	case "ssh-rsa":
		if len(fields) != 3 {
			return keyBody
		}
		if new(big.Int).SetBytes(fields[2]).BitLen() < shortestRSA {
			return keyShortRSA
		}
	case "ssh-dss":
		return keyDSA
	}
	return keyFine
}

// blobFields splits the wire form into its strings; whole reports whether it ends where a string ends.
func blobFields(blob []byte) (fields [][]byte, whole bool) {
	for len(blob) >= 4 {
		n := binary.BigEndian.Uint32(blob)
		if uint64(n) > uint64(len(blob)-4) {
			return fields, false
		}
		fields = append(fields, blob[4:4+n])
		blob = blob[4+n:]
	}
	return fields, len(blob) == 0
}
