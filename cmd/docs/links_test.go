package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/testbed/need"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
)

func TestLinksOfTheDocsLeadSomewhere(t *testing.T) {
	root := need.Module(t)
	var files []string
	for _, pattern := range []string{"*.md", "docs/*.md", "examples/*/README.md", "test/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) < 20 {
		t.Fatalf("only %d pages found", len(files))
	}
	for _, file := range files {
		for _, target := range linksOf(t, file) {
			if why := broken(t, file, target); why != "" {
				t.Errorf("%s: link %s: %s", strings.TrimPrefix(file, root+"/"), target, why)
			}
		}
	}
}

func linksOf(t *testing.T, file string) []string {
	var targets []string
	for _, m := range link.FindAllStringSubmatch(read(t, file), -1) {
		if !strings.Contains(m[1], "://") {
			targets = append(targets, m[1])
		}
	}
	return targets
}

func broken(t *testing.T, file, target string) string {
	path, anchor, _ := strings.Cut(target, "#")
	to := file
	if path != "" {
		to = filepath.Join(filepath.Dir(file), path)
	}
	if _, err := os.Stat(to); err != nil {
		return "there is no such file"
	}
	if anchor != "" && !slices.Contains(anchors(read(t, to)), anchor) {
		return "the page has no such heading"
	}
	return ""
}

// anchors are those that GitHub gives the headings of a page: small letters, digits, hyphens and underscores, blanks as hyphens.
func anchors(text string) []string {
	var all []string
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', 'a' <= r && r <= 'z', '0' <= r && r <= '9':
				return r
			}
			return -1
		}, strings.ToLower(m[1])))
	}
	return all
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
