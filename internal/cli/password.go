package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"nixos-staged-hive/internal/remote"
	"nixos-staged-hive/internal/run"
)

// passwordOptions say where the password for sudo on hosts comes from. Without any it is asked for at the terminal, when it is needed.
type passwordOptions struct {
	command string // for a shell, with the host's name as $1
	file    string // its first line; - is stdin
	typed   string // what was asked for already; empty if it was not
}

const askPassword = "Password for sudo on the hosts"

// passwordFlags are those of every command that becomes root on hosts.
func passwordFlags(o *passwordOptions, cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.command, "sudo-password-command", "", "shell command that prints the password for sudo; the host's name is its last argument")
	f.StringVar(&o.file, "sudo-password-file", "", "file whose first line is the password for sudo on all hosts (-: stdin)")
}

func (o passwordOptions) check() error {
	if o.command != "" && o.file != "" {
		return &usageError{errors.New("--sudo-password-command and --sudo-password-file exclude each other")}
	}
	return nil
}

// sudo gives for each host how commands become root there. Nothing is asked before a host's sudo asks. One password for all hosts has to
// be taken by one of them before another gets it.
func (h *house) sudo(o passwordOptions) func(host string) remote.Sudo {
	if o.command != "" {
		return h.passwordCommand(o.command)
	}
	ask := func(ctx context.Context) (string, error) {
		if o.typed != "" {
			return o.typed, nil
		}
		return h.ui.AskSecret(ctx, askPassword)
	}
	switch o.file {
	case "":
	case "-":
		ask = func(context.Context) (string, error) { return firstLine(h.ui.In) }
	default:
		ask = func(context.Context) (string, error) {
			f, err := os.Open(o.file)
			if err != nil {
				return "", fmt.Errorf("password for sudo: %w", err)
			}
			defer f.Close() //nolint:errcheck // it was only read
			return firstLine(f)
		}
	}
	return remote.NewOnePassword(func(ctx context.Context) (string, error) {
		word, err := ask(ctx)
		if err != nil {
			return "", noPassword(err)
		}
		return word, nil
	}).For
}

// passwordCommand asks a program for each host's password, once.
func (h *house) passwordCommand(command string) func(string) remote.Sudo {
	var mu sync.Mutex
	hosts := map[string]*remote.OnePassword{}
	return func(host string) remote.Sudo {
		mu.Lock()
		defer mu.Unlock()
		if hosts[host] == nil {
			hosts[host] = remote.NewOnePassword(func(ctx context.Context) (string, error) {
				out, err := run.Output(ctx, h.run, run.Command{Name: "sh", Args: []string{"-c", command + ` "$@"`, "sh", host}, Stderr: h.ui.Err})
				if err != nil {
					return "", fmt.Errorf("password for sudo on %s: --sudo-password-command: %w", host, err)
				}
				return firstLine(bytes.NewReader(out))
			})
		}
		return hosts[host].For(host)
	}
}

// noPassword adds the way out where there is nobody to ask.
func noPassword(err error) error {
	return &refusal{
		fmt.Errorf("sudo asks for a password: %w", err),
		"give it with --sudo-password-command or --sudo-password-file, or let the user deploy without (security.sudo.wheelNeedsPassword = false)", codeFailed,
	}
}

// firstLine reads no further than the line break: what follows on stdin is somebody else's.
func firstLine(r io.Reader) (string, error) {
	var line strings.Builder
	one := make([]byte, 1)
	for line.Len() < 4096 {
		n, err := r.Read(one)
		if n == 1 && one[0] == '\n' {
			break
		}
		line.Write(one[:n])
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", fmt.Errorf("read the password for sudo: %w", err)
		}
	}
	return strings.TrimSuffix(line.String(), "\r"), nil
}
