package run

import (
	"sort"
	"strings"
)

// Quote joins args to a line that a POSIX shell splits back into exactly these words, nothing expanded. The first word is taken as
// a program: never as an assignment, and a keyword stays a keyword only where sh itself treats it so. A NUL byte has no place in an
// argument of any program and is passed through as it is.
func Quote(args ...string) string {
	words := make([]string, len(args))
	for i, a := range args {
		if plain(a) && (i > 0 || !strings.Contains(a, "=")) {
			words[i] = a
		} else {
			words[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

// plain reports whether a shell leaves s alone. "=" in front would expand in zsh, "~" everywhere.
func plain(s string) bool {
	if s == "" || s[0] == '=' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && strings.IndexByte("_@%+=:,./-", c) < 0 {
			return false
		}
	}
	return true
}

// mask replaces secret values in text that people or logs will see.
type mask struct{ values []string }

// newMask also takes each line of a secret of several lines (a key file), because programs print them one by one. Longer values come
// first, so that one secret inside another leaves no rest behind.
func newMask(secrets []string) mask {
	var m mask
	for _, s := range secrets {
		m.values = append(m.values, s)
		m.values = append(m.values, strings.Split(s, "\n")...)
	}
	kept := m.values[:0]
	for _, v := range m.values {
		if strings.TrimSpace(v) != "" {
			kept = append(kept, v)
		}
	}
	m.values = kept
	sort.SliceStable(m.values, func(i, j int) bool { return len(m.values[i]) > len(m.values[j]) })
	return m
}

func (m mask) text(s string) string {
	for _, v := range m.values {
		s = strings.ReplaceAll(s, v, "[secret]")
	}
	return s
}
