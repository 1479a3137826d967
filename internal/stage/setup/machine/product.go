package machine

import (
	"slices"
	"strings"
)

// honest drops what makers write where they have nothing to say.
func honest(value string) string {
	value = strings.TrimSpace(value)
	plain := strings.ToLower(strings.Trim(value, ". "))
	if slices.Contains(placeholders(), plain) || strings.HasPrefix(plain, "to be filled") || strings.HasPrefix(plain, "filled by") || uniform(plain) {
		return ""
	}
	return value
}

// placeholders as seen in DMI tables, lower case, without dots at the ends.
func placeholders() []string {
	return []string{
		"default string", "default", "system product name", "system manufacturer", "system serial number", "system name", "system version",
		"serial number", "chassis serial number", "product name", "product serial", "not specified", "not applicable", "not available",
		"not set", "n/a", "na", "none", "null", "nil", "unknown", "undefined", "invalid", "empty", "o.e.m", "oem", "standard", "type1productconfigid",
		"0123456789", "123456789", "1234567890", "123456", "1234567", "12345678", "xxxxxxxx", "sernum0", "no enclosure", "insyde",
		"type1family", "ssn", "sn", "s/n", "empty string",
	}
}

// uniform reports whether nothing but one and the same letter or digit is left without separators: zeros, eights, effs.
func uniform(value string) bool {
	letters := strings.Map(func(r rune) rune {
		if strings.ContainsRune("-_ ./:", r) {
			return -1
		}
		return r
	}, value)
	return letters == "" || strings.Trim(letters, letters[:1]) == ""
}

// honestUUID drops the UUIDs that boards of many makers share.
func honestUUID(value string) string {
	uuid := strings.ToLower(honest(value))
	switch uuid {
	case "03000200-0400-0500-0006-000700080009", "00020003-0004-0005-0006-000700080009", "12345678-1234-5678-90ab-cddeefaabbcc",
		"11111111-2222-3333-4444-555555555555", "fefefefe-fefe-fefe-fefe-fefefefefefe":
		return ""
	}
	return uuid
}
