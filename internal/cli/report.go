package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"nixos-staged-hive/internal/blockdev"
	"nixos-staged-hive/internal/colmena"
	"nixos-staged-hive/internal/generate"
	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/nix"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/stage/install"
	"nixos-staged-hive/internal/stage/medium"
	"nixos-staged-hive/internal/stage/setup"
	"nixos-staged-hive/internal/ui"
)

// report says what went wrong and returns the exit code.
func (h *house) report(err error) int {
	if err == nil {
		return codeDone
	}
	var silent *exitError
	if errors.As(err, &silent) {
		return silent.code
	}
	if errors.Is(err, context.Canceled) {
		h.ui.Fail(ui.Failure{Err: errors.New("interrupted; nothing was left half done")})
		return codeInterrupted
	}
	for _, one := range apart(err) {
		failure := ui.Failure{Err: one, Hints: hintsOf(one)}
		var program *run.Error
		if errors.As(one, &program) {
			failure.Output = program.Stderr
		}
		h.ui.Fail(failure)
	}
	return codeOf(err)
}

// apart takes joined errors apart, so that each is told with its own hint.
func apart(err error) []error {
	// the outermost only: joined errors that are wrapped belong to their sentence
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, one := range joined.Unwrap() {
		all = append(all, apart(one)...)
	}
	return all
}

// hintsOf turns types of errors into what to do about them; errors that know their way out say it themselves.
func hintsOf(err error) []string {
	var hints []string
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) && hinted.Hint() != "" {
		hints = append(hints, hinted.Hint())
	}
	var missing *run.MissingError
	if errors.As(err, &missing) {
		hints = append(hints, missingHint(missing)...)
	}
	var program *run.Error
	if errors.As(err, &program) && unreachable.Match(program.Stderr) {
		hints = append(hints, "the network does not answer: try again with it; what was fetched once works without, and a pin can be a folder (/path, ./path)")
	}
	var secret *generate.SecretError
	if errors.As(err, &secret) {
		hints = append(hints, "keep secrets out of options that other stages need: name a file on the host instead, such as hive.admin.hashedPasswordFile")
	}
	var notTerminal *ui.NotTerminalError
	if errors.As(err, &notTerminal) {
		hints = append(hints, "give the answer as a flag; see --help")
	}
	var wrong *usageError
	if errors.As(err, &wrong) || isUnknownCommand(err) {
		hints = append(hints, "`nixos-staged-hive --help` lists commands and flags")
	}
	hints = append(hints, deviceHints(err)...)
	if len(hints) == 0 {
		hints = systemHints(err)
	}
	return hints
}

// missingHint tells how to get a program, if that is known.
func missingHint(m *run.MissingError) []string {
	switch {
	case m.Hint != "":
		return []string{m.Hint}
	case strings.HasPrefix(m.Program, "nix"):
		return []string{nix.Install}
	}
	return nil
}

// systemHints are about what the system refused, where nobody below knew better.
func systemHints(err error) []string {
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return []string{"this user may not do that, or the file system is read-only: change the rights of the folder, or work on a copy"}
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return []string{"the disk is full: make room and run it again"}
	}
	return nil
}

func codeOf(err error) int {
	var refused *refusal
	if errors.As(err, &refused) {
		return refused.code
	}
	var wrong *usageError
	var call *colmena.UsageError
	var selection *hive.SelectError
	var missing *run.MissingError
	var edited *generate.HandEditedError
	var secret *generate.SecretError
	switch {
	case errors.As(err, &wrong), errors.As(err, &call), errors.As(err, &selection), isUnknownCommand(err):
		return codeUsage
	case errors.As(err, &missing):
		return codeMissing
	case errors.As(err, &edited), errors.As(err, &secret), isRefusal(err):
		return codeRefused
	}
	return codeFailed
}

// isRefusal reports whether a device or a machine was left alone, and nothing was changed.
func isRefusal(err error) bool {
	return is[*blockdev.RefusedError](err) || is[*blockdev.BusyError](err) || is[*blockdev.ExistsError](err) || is[*medium.UnconfirmedError](err) ||
		is[*setup.RefusedError](err) || is[*setup.ConsentError](err) || is[*setup.NobodyThereError](err) || is[*setup.OtherPlanError](err) ||
		is[*setup.BusyError](err) || is[*install.RefusedError](err) || is[*install.ConsentError](err) || is[*install.OtherPlanError](err)
}

func is[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}

// deviceHints are about media and the machine that setup runs on.
func deviceHints(err error) []string {
	if e, ok := errors.AsType[*setup.RefusedError](err); ok {
		var ways []string
		for _, p := range e.Intent.Problems {
			if p.Severity == hive.Error && p.Way != "" && !slices.Contains(ways, p.Way) {
				ways = append(ways, p.Way)
			}
		}
		return ways
	}
	if e, ok := errors.AsType[*medium.UnconfirmedError](err); ok {
		return []string{fmt.Sprintf("look twice at what it is, and give --confirm %s", e.Word)}
	}
	if e, ok := errors.AsType[*setup.ConsentError](err); ok {
		return []string{"`setup plan` shows what would be lost; --confirm " + strings.Join(e.Missing, ",") + " agrees"}
	}
	switch {
	case is[*blockdev.ExistsError](err):
		return []string{"--overwrite replaces it"}
	case is[*blockdev.RefusedError](err):
		return []string{"`nixos-staged-hive install -n NAME` without -d lists the devices that may be meant"}
	case is[*setup.NobodyThereError](err):
		return []string{"install it at the machine, or from afar with --remote: both show what would be lost, and ask"}
	}
	return nil
}

// unreachable matches what git 2.39 and Nix 2.8 (by curl) say when a server cannot be reached.
var unreachable = regexp.MustCompile(`(?i)could not resolve host|couldn't resolve host|failed to connect|could not connect|couldn't connect|connection (refused|timed out)|network is unreachable`)

// isUnknownCommand recognises cobra's only error without a type.
func isUnknownCommand(err error) bool { return strings.HasPrefix(err.Error(), "unknown command ") }
