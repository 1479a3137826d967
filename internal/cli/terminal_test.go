package cli_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"nixos-staged-hive/internal/testbed/need"
)

// atTerminal runs the program with stdin and stderr on a terminal without cursor movement, and types an answer once the question is
// there. It returns what the terminal showed.
func (d *desk) atTerminal(question, answer string, args ...string) string {
	d.Helper()
	person, terminal, err := pty.Open()
	if err != nil {
		need.Skip(d, "no pseudo terminal: %v", err)
	}
	defer person.Close()
	c := d.command(d.Context(), []string{"TERM=dumb"}, append([]string{program, "-p", d.dir}, args...)...)
	c.Stdin, c.Stdout, c.Stderr = terminal, io.Discard, terminal
	if err := c.Start(); err != nil {
		d.Fatal(err)
	}
	if err := terminal.Close(); err != nil {
		d.Fatal(err)
	}
	seen := make(chan string, 1)
	go func() {
		var shown bytes.Buffer
		piece := make([]byte, 4096)
		answered := false
		for {
			n, err := person.Read(piece)
			shown.Write(piece[:n])
			if !answered && strings.Contains(shown.String(), question) {
				answered = true
				_, _ = person.WriteString(answer + "\n")
			}
			if err != nil { // EIO: nobody holds the other end any more
				seen <- shown.String()
				return
			}
		}
	}()
	_ = c.Wait() // what it did is looked at, whatever its code
	select {
	case text := <-seen:
		return text
	case <-time.After(30 * time.Second):
		d.Fatal("the terminal was never closed")
		return ""
	}
}

func TestAMissingHostIDIsOfferedOnATerminalAndWrittenOnYes(t *testing.T) {
	t.Parallel()
	for answer, written := range map[string]bool{"yes": true, "no": false} {
		d := newDesk(t, map[string]string{"nixConfigs/nas.nix": host("\n  boot.supportedFilesystems = [ \"zfs\" ];")})
		shown := d.atTerminal("write a new host id", answer, "check")
		if !strings.Contains(shown, "write a new host id into the definition of nas?") {
			t.Fatalf("%s: no question: %s", answer, shown)
		}
		if got := strings.Contains(d.read("nixConfigs/nas.nix"), "networking.hostId = "); got != written {
			t.Errorf("answer %s: written is %v\n%s", answer, got, shown)
		}
	}
}

func TestInitAsksOnATerminalForWhatNoFlagSays(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.atTerminal("Name of the first host?", "kitchen", "init", d.path("new"), "--admin", "mia", "--nixos", "nixos-24.05", "--key", key)
	if text := d.read("new/nixConfigs/kitchen.nix"); !strings.Contains(text, `name = "mia"`) {
		t.Errorf("the definition is %s", text)
	}
}
