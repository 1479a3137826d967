package summary

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var (
	update = flag.Bool("update", false, "write the golden files anew")
	render = flag.String("render", "", "write all samples in all forms into this folder, to look at them")
)

func samples() map[string]Input {
	return map[string]Input{
		"one": oneHost(), "four": fourHosts(), "twelve": twelveHosts(), "fifty": fiftyHosts(), "nasty": nastyHosts(), "empty": {},
	}
}

// look writes the samples for a person to look at, if asked to.
func look(t *testing.T) {
	t.Helper()
	if *render == "" {
		return
	}
	for name, in := range samples() {
		s := New(in)
		for ext, text := range map[string]string{".svg": string(s.SVG()), ".md": s.Markdown(), ".mmd": s.Mermaid()} {
			if err := os.WriteFile(filepath.Join(*render, name+ext), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}
