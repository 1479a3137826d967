package disks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/run"
)

// script runs one of disko's scripts with an environment of its own: IN_DISKO_TEST in ours would set every LUKS passphrase to "disko".
func (s Site) script(ctx context.Context, task, file string) error {
	steps := &tracer{tell: func(text string) {
		s.Events.Send(progress.Event{Task: task, Host: s.Plan.Name, State: progress.Running, Text: text})
	}}
	log := s.log()
	c := run.Command{
		Name: "env",
		Args: []string{"-i", "PATH=" + os.Getenv("PATH"), "HOME=/root", "LC_ALL=C.UTF-8", "TERM=" + os.Getenv("TERM"), file},
		Dir:  "/", Stdin: s.Input, Stdout: log, Stderr: io.MultiWriter(log, steps), Interactive: s.Terminal,
	}
	if s.Screen != nil {
		c.Stdout = io.MultiWriter(log, s.Screen)
	}
	if _, err := fmt.Fprintf(log, "# %s\n", c); err != nil {
		return fmt.Errorf("write the log: %w", err)
	}
	err := s.Run.Run(ctx, c)
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*run.Error](err); ok && reason(e.Stderr) != "" {
		return fmt.Errorf("run disko's script to %s: %s: %w", task, reason(e.Stderr), err)
	}
	return fmt.Errorf("run disko's script to %s: %w", task, err)
}

// reason is the last line of a script's stderr that is not bash's trace.
func reason(stderr []byte) string {
	lines := strings.Split(string(stderr), "\n")
	for _, line := range slices.Backward(lines) {
		line = strings.TrimSpace(strings.ToValidUTF8(line, "\uFFFD"))
		if line != "" && !strings.HasPrefix(line, "+") {
			return line
		}
	}
	return ""
}

// tracer tells the steps of a script by what bash traces (set -x): "+ mkfs.ext4 ...", with more pluses inside of substitutions.
type tracer struct {
	tell func(string)
	mu   sync.Mutex
	rest []byte
}

func (t *tracer) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rest = append(t.rest, p...)
	for {
		line, rest, ok := bytes.Cut(t.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		if step := traced(string(line)); step != "" {
			t.tell(step)
		}
		t.rest = rest
	}
}

// traced is what a traced command does to a disk; empty for those that only look or compute. Arguments of cryptsetup are left out.
func traced(line string) string {
	command, ok := strings.CutPrefix(strings.TrimLeft(line, "+"), " ")
	if !ok || !strings.HasPrefix(line, "+") {
		return ""
	}
	words := strings.Fields(command)
	if len(words) < 2 {
		return ""
	}
	program := path.Base(words[0])
	switch {
	case strings.HasPrefix(program, "mkfs."), program == "mkswap", program == "pvcreate", program == "mount", program == "swapon":
		return program + " " + device(words[1:])
	case program == "vgcreate", program == "lvcreate", program == "sgdisk", program == "zpool", program == "zfs", program == "mdadm":
		return program
	case program == "cryptsetup":
		return program + " " + device(words[1:])
	}
	return ""
}

func device(words []string) string {
	for _, w := range words {
		w = strings.Trim(w, `'"`)
		if strings.HasPrefix(w, "/dev/") {
			return w
		}
	}
	return ""
}
