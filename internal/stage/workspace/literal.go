package workspace

import (
	"fmt"
	"strings"
)

// literal writes s as a Nix string: whatever it contains, Nix reads exactly s. The one place where a value becomes Nix text is the
// example definition, which a person goes on editing; everything else crosses into Nix as JSON. A NUL byte has no place in a string
// of Nix.
func literal(s string) (string, error) {
	if strings.ContainsRune(s, 0) {
		return "", fmt.Errorf("%q has a NUL byte, which Nix cannot hold", s)
	}
	// Nix turns a bare carriage return into a newline (2.8 does), so both are spelled out.
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s) + `"`, nil
}
