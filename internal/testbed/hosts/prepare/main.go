// Command prepare makes the roots of the test hosts (package hosts) ahead of the tests, so that their time is seen for itself:
//
//	go run ./internal/testbed/hosts/prepare [SUITE...]
//
// It needs root, debootstrap and a Debian mirror. What is in the cache already is left as it is.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"nixos-staged-hive/internal/testbed/hosts"
)

func main() { os.Exit(prepare(os.Stdout, os.Stderr)) }

func prepare(out, errOut io.Writer) int {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var suites []hosts.Suite
	for _, name := range flag.Args() {
		suites = append(suites, hosts.Suite(name))
	}
	if len(suites) == 0 {
		suites = hosts.Suites()
	}
	var group errgroup.Group // without its context: one suite that cannot be had does not end the others
	out = &serial{w: out}
	for _, suite := range suites {
		group.Go(func() error { return one(ctx, suite, out) })
	}
	if err := group.Wait(); err != nil {
		fmt.Fprintln(errOut, "prepare: at least one suite could not be made")
		return 1
	}
	return 0
}

// one tells what the programs said only when they failed.
func one(ctx context.Context, suite hosts.Suite, out io.Writer) error {
	log := &bytes.Buffer{}
	start := time.Now()
	root, err := hosts.Root(ctx, suite, log)
	if err != nil {
		fmt.Fprintf(out, "%s%s	FAILED after %.0f s	%v\n", log, suite, time.Since(start).Seconds(), err)
		return err
	}
	fmt.Fprintf(out, "%s	ready after %.0f s	%s\n", suite, time.Since(start).Seconds(), root)
	return nil
}

// serial lets several write to one place, one after the other.
type serial struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *serial) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}
