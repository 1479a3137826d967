// Package state asks a host what it is in: which system runs, which one it was booted into and which one it boots next, its generations,
// its room, its failed units and a deployment that did not end; and what one system has that another one has not.
//
// A host is asked once, over one connection, by a POSIX sh script that reads files and changes nothing. It needs no rights. What only root may
// read is left empty: on many hosts that is the boot loader's choice, since NixOS' own installer (24.05) mounts the EFI partition for root
// alone. Asked through a runner that is root, the same script sees it.
package state

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
)

//go:embed read.sh
var script string

// Read asks a host for its state. user runs commands there: as the user who logs in, or as root where the boot loader's choice
// is to be known too. HostState.Trusted is about who logged in, also through sudo.
//
// It is about 60 ms of work for the host. An answer that makes no sense is an error, never half a state.
func Read(ctx context.Context, user run.Runner) (hive.HostState, error) {
	token := rand.Text()
	// On standard input, because sudo writes whole command lines to the log.
	out, err := run.Output(ctx, user, run.Command{Name: "sh", Args: []string{"-s", token}, Stdin: strings.NewReader(script), Grace: time.Second})
	if err != nil {
		return hive.HostState{}, fmt.Errorf("read the host's state: %w", err)
	}
	s, err := parse(out, token)
	if err != nil {
		return hive.HostState{}, fmt.Errorf("read the host's state: %w", err)
	}
	return s, nil
}

// errCut is an answer without its end.
var errCut = errors.New("the answer is not whole")
