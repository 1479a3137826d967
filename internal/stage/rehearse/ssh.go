package rehearse

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"nixos-staged-hive/internal/run"
)

type sshShell struct {
	local run.Runner
	args  []string
}

func (s sshShell) Run(ctx context.Context, c run.Command) error {
	remote := run.Quote(append([]string{c.Name}, c.Args...)...)
	c.Name, c.Args = "ssh", append(append([]string{}, s.args...), remote)
	return s.local.Run(ctx, c)
}

func (g *guest) sshArgs() []string {
	return []string{"-F", "/dev/null", "-i", g.key.file, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
		"-o", "LogLevel=ERROR", "-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=15"}
}

func (g *guest) connect(ctx context.Context) (run.Runner, error) {
	port := strconv.Itoa(g.segment.Port(g.forward()))
	s := sshShell{g.local, append(g.sshArgs(), "-p", port, "root@127.0.0.1")}
	for {
		limit, cancel := context.WithTimeout(ctx, 60*time.Second)
		err := s.Run(limit, run.Command{Name: "true", Grace: time.Second})
		cancel()
		if err == nil {
			return s, nil
		}
		if e := pause(ctx, 2*time.Second); e != nil {
			return nil, fmt.Errorf("%w (last: %w)", e, err)
		}
	}
}

func (g *guest) copy(ctx context.Context, path string) error {
	port := strconv.Itoa(g.segment.Port(g.forward()))
	opts := run.Quote(append(g.sshArgs(), "-p", port)...)
	return g.local.Run(ctx, run.Command{Name: "nix-copy-closure", Args: []string{"--to", "root@127.0.0.1", path}, Env: []string{"NIX_SSHOPTS=" + opts}})
}
