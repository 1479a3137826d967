package nix

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"nixos-staged-hive/internal/run"
)

// Plan is what a build would do.
type Plan struct {
	Build         []string // derivations, as store paths
	Fetch         []string // store paths that a binary cache has
	Unknown       []string // store paths that nobody has and nothing builds
	DownloadBytes int64    // of Fetch, compressed; Nix tells it rounded, to 10 KiB or finer
	UnpackedBytes int64
}

// Plan evaluates b and tells what Build would build and fetch, without doing it. It does ask the binary caches, and it writes the
// derivations to the store. Its errors are those of Build's evaluation.
func (c Client) Plan(ctx context.Context, b Build) (Plan, error) {
	roots, release, err := holdRoots()
	if err != nil {
		return Plan{}, err
	}
	defer release()
	wanted, err := c.instantiate(ctx, b, filepath.Join(roots, "drv"))
	if err != nil {
		return Plan{}, err
	}
	args := append([]string{"--realise", "--dry-run"}, settings(b.Settings)...)
	for _, u := range wanted {
		args = append(args, u.spec)
	}
	var p planReader
	stderr := &lineWriter{line: p.line}
	if err := c.Run.Run(ctx, run.Command{Name: "nix-store", Args: args, Stderr: stderr}); err != nil {
		return Plan{}, fmt.Errorf("plan: %w", err)
	}
	stderr.flush()
	return p.plan, nil
}

// planReader reads the lists that Nix prints before a build, each under a heading of its own.
type planReader struct {
	plan Plan
	list *[]string
}

var (
	willFetch = regexp.MustCompile(`^(?:these \d+ paths|this path) will be fetched \(([0-9.]+) ([KMGTPE]?i?B) download, ([0-9.]+) ([KMGTPE]?i?B) unpacked\)`)
	dontKnow  = regexp.MustCompile(`^don't know how to build (?:these paths|this path)`)
)

func (p *planReader) line(l string) {
	if path := strings.TrimSpace(l); p.list != nil && strings.HasPrefix(l, "  /") {
		*p.list = append(*p.list, path)
		return
	}
	p.list = nil
	switch m := willFetch.FindStringSubmatch(l); {
	case m != nil:
		p.list = &p.plan.Fetch
		p.plan.DownloadBytes, p.plan.UnpackedBytes = size(m[1], m[2]), size(m[3], m[4])
	case willBuild.MatchString(l):
		p.list = &p.plan.Build
	case dontKnow.MatchString(l):
		p.list = &p.plan.Unknown
	}
}

// size reads "1.50" and "MiB"; Nix 2.8 to 2.26 always use MiB, later ones what fits.
func size(number, of string) int64 {
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0
	}
	for range strings.Index("BKMGTPE", of[:1]) {
		n *= 1024
	}
	return int64(n)
}
