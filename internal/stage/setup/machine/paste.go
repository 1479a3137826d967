package machine

import (
	"regexp"
	"strings"

	"nixos-staged-hive/internal/hive"
)

// diskLine is the line of a definition that names a disk of disko's tree: by its serial number where there is one and a path is not needed.
func diskLine(name string, d hive.Device, byPath bool) string {
	if d.Serial != "" && !byPath {
		return "hive.partitioning.disks." + attribute(name) + ".serial = " + text(d.Serial) + ";"
	}
	return "hive.partitioning.format.disk." + attribute(name) + ".device = " + text(d.Best()) + ";"
}

// attribute is a name as Nix takes it between dots.
func attribute(name string) string {
	plain := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_'-]*$`)
	switch name {
	case "assert", "else", "if", "in", "inherit", "let", "or", "rec", "then", "with":
		return text(name)
	}
	if plain.MatchString(name) {
		return name
	}
	return text(name)
}

// text is a string literal of Nix: whatever a disk calls itself stays text.
func text(value string) string {
	escaped := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(value)
	return `"` + escaped + `"`
}

// cardLine is the line of a definition that names a network card by what does not change with the kernel.
func cardLine(c hive.Card) string {
	if c.MAC == "" {
		return "hive.network.interface = " + text(c.Name) + ";"
	}
	return "hive.network.match.mac = " + text(c.MAC) + ";"
}

// texts is a list of string literals.
func texts(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = text(v)
	}
	return "[ " + strings.Join(quoted, " ") + " ]"
}
