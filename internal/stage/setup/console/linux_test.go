package console

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nixos-staged-hive/internal/testbed/guest"
	"nixos-staged-hive/internal/ui"
)

// showKey makes this test binary show one of the screens on its terminal, until it is killed.
const showKey = "STAGED_HIVE_TEST_CONSOLE"

func TestMain(m *testing.M) {
	if name := os.Getenv(showKey); name != "" {
		if err := show(name); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

func show(name string) error {
	streams := ui.New(os.Stdin, os.Stdout, os.Stdout, []string{"TERM=linux"})
	screen, err := streams.Screen()
	if err != nil {
		return err
	}
	screen.Show(screens()[name](linux).lines(linux))
	if err := os.WriteFile("/tmp/shown", nil, 0o600); err != nil {
		return err
	}
	_, err = screen.Key(context.Background(), time.Hour) // until it is killed
	return err
}

// TestTheConsoleOfLinuxShowsEveryScreen is the only proof that the screens look right where they matter: a kernel's own console in text
// mode, whose memory is read back. What its font does not have would be another character there.
func TestTheConsoleOfLinuxShowsEveryScreen(t *testing.T) {
	names := slices.Sorted(maps.Keys(screens()))
	var script strings.Builder
	script.WriteString("chmod +x /console; mknod /dev/tty1 c 4 1 2>/dev/null; mknod /dev/vcs1 c 7 1 2>/dev/null\n")
	for _, name := range names {
		fmt.Fprintf(&script, "rm -f /tmp/shown; %s=%s setsid -c /console </dev/tty1 >/dev/tty1 2>&1 &\n", showKey, name)
		script.WriteString("p=$!; while ! [ -e /tmp/shown ]; do kill -0 $p || exit 1; sleep 0.1; done\n")
		fmt.Fprintf(&script, "echo '%s' \"$(base64 -w0 /dev/vcs1)\"; kill $p; wait $p || true\n", name)
	}
	image := guest.Prepare(t)
	said := image.Run(t, []string{"-vga", "std"}, script.String(), map[string]string{"console": static(t)})
	seen := 0
	for line := range strings.Lines(said) {
		name, memory, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || !slices.Contains(names, name) {
			continue
		}
		seen++
		want, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), textMode(t, memory)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	if seen != len(names) {
		t.Errorf("%d of %d screens were shown:\n%s", seen, len(names), said)
	}
}

// static is this test binary for a guest without libraries.
func static(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "console")
	cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", file, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// textMode reads the memory of a screen in VGA's text mode: glyphs of code page 437.
func textMode(t *testing.T, memory string) string {
	t.Helper()
	glyphs, err := base64.StdEncoding.DecodeString(memory)
	if err != nil || len(glyphs) != linux.Columns*linux.Rows {
		t.Fatalf("%d characters of a screen: %v", len(glyphs), err)
	}
	var b strings.Builder
	for row := range slices.Chunk(glyphs, linux.Columns) {
		var line strings.Builder
		for _, g := range row {
			line.WriteRune(glyph(g))
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}

func glyph(g byte) rune {
	switch g {
	case 0xdb:
		return '█'
	case 0xdc:
		return '▄'
	case 0xdf:
		return '▀'
	case 0xb0:
		return '░'
	}
	if g < ' ' || g > '~' {
		return '?'
	}
	return rune(g)
}
