// Command docs writes the generated pages of docs/: options.md from the modules, as Nix evaluates them, and commands.md from the
// program's own commands. It is a tool of this repository and no part of the program; `make docs` starts it.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"nixos-staged-hive/internal/cli"
	"nixos-staged-hive/internal/run"
)

func main() {
	var s sources
	flag.StringVar(&s.nix, "nix", "nix", "folder of our Nix files")
	flag.StringVar(&s.nixpkgs, "nixpkgs", "test/nixpkgs", "nixpkgs to evaluate the modules with")
	flag.StringVar(&s.disko, "disko", "test/disko", "disko to evaluate the modules with")
	out := flag.String("o", "docs", "folder to write to")
	flag.Parse()
	if err := write(context.Background(), s, *out); err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		os.Exit(1)
	}
}

func write(ctx context.Context, s sources, dir string) error {
	all, err := pages(ctx, s)
	if err != nil {
		return err
	}
	for name, text := range all {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}

// pages are the generated pages by file name.
func pages(ctx context.Context, s sources) (map[string]string, error) {
	o, err := evaluate(ctx, run.Local{Log: slog.New(slog.DiscardHandler)}, s)
	if err != nil {
		return nil, err
	}
	return map[string]string{
		"options.md":  optionsPage(o),
		"commands.md": commandsPage(cli.Commands()), //nolint:contextcheck // the tree is only read, nothing of it runs
	}, nil
}
