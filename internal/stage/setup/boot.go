package setup

import (
	"context"
	"fmt"
	"strings"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/stage/setup/bootchain"
)

// UnfitError is an installation that did not come out as planned, though no program said so. The machine stays on the medium.
type UnfitError struct{ Problems []hive.Problem }

func (e *UnfitError) Error() string {
	var lines []string
	for _, p := range e.Problems {
		lines = append(lines, p.Message)
	}
	return strings.Join(lines, "; ")
}

// Hint is what to do about it.
func (e *UnfitError) Hint() string {
	for _, p := range e.Problems {
		if p.Way != "" {
			return p.Way
		}
	}
	return "the log of the boot loader is in /run/nixos-staged-hive/setup.log; the disks stay mounted at /mnt"
}

// bootChain reads back what the firmware will read, from the disk and not from memory.
func (s *session) bootChain(ctx context.Context) (string, error) {
	if err := bootchain.Settle(s.in.Root); err != nil {
		return "", err
	}
	chain, problems := bootchain.Verify(s.in.Root, s.host)
	registered, err := bootchain.Registered(ctx, s.runner, s.in.Root, s.host)
	if err != nil {
		return "", err
	}
	if err := s.sort(append(problems, registered...)); err != nil {
		return "", err
	}
	s.chain = chain
	return fmt.Sprintf("%s starts %s; files read back: %d", chain.Loader, chain.Entry, len(chain.Proven)), nil
}

// sort tells warnings, and makes an error of the errors.
func (s *session) sort(problems []hive.Problem) error {
	var errs []hive.Problem
	for _, p := range problems {
		if p.Severity == hive.Error {
			errs = append(errs, p)
		} else {
			s.rec.warn(p.Message)
		}
	}
	if len(errs) > 0 {
		return &UnfitError{errs}
	}
	return nil
}

// bootEntry makes the firmware start the installed system next, where it has entries. Where it has none, or keeps them to itself, the kernel of the
// medium will start the installed one: firmware that prefers the medium would start that again and again.
func (s *session) bootEntry(context.Context) (string, error) {
	text := "the firmware has no entries: it starts what comes first in its order"
	if s.intent.Machine.Firmware == "uefi" {
		entry, problems := bootchain.Entry(s.in.Root, s.host, s.chain)
		if err := s.sort(problems); err != nil {
			return "", err
		}
		text = "the firmware did not take an entry"
		if entry.Number != "" {
			s.restart = "reboot"
			text = fmt.Sprintf("the firmware starts %s (%s) next: %s", entry.Label, entry.Number, entry.Program)
		}
		// A medium that finds its system installed was started by a firmware that may go by no entry (OVMF under an order that QEMU gives drops
		// them): restarting would start it again, and again.
		if entry.Number != "" && !s.already {
			return text, nil
		}
	}
	if s.order.Then != "" && s.order.Then != Boot {
		return text, nil
	}
	if err := bootchain.Load(s.in.Root, s.chain); err != nil {
		s.rec.warn("the kernel of the medium cannot start the installed one: " + err.Error())
		return text, nil
	}
	s.restart = "kexec"
	return text + "; the medium's kernel starts the installed one", nil
}

// leave ends the medium as ordered. What goes wrong here is no failure of the installation, which is finished.
func (s *session) leave(ctx context.Context, then Then) error {
	switch {
	case then == Stay:
		return nil
	case then == PowerOff:
		return s.systemctl(ctx, "poweroff")
	case s.restart == "":
		return &RestartError{s.intent.Host}
	}
	return s.systemctl(ctx, s.restart)
}

// RestartError is an installed machine that the program cannot restart so that the installed system is what starts.
type RestartError struct{ Host string }

func (e *RestartError) Error() string {
	return e.Host + " is installed, but restarting the machine might start the medium again"
}

// Hint is what to do about it.
func (e *RestartError) Hint() string { return "take the medium out, and restart the machine" }

func (s *session) systemctl(ctx context.Context, verb string) error {
	return s.in.Runner.Run(ctx, run.Command{Name: "systemctl", Args: []string{verb}})
}
