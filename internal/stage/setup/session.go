package setup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/secret"
	"nixos-staged-hive/internal/stage/setup/bootchain"
)

// session is one run.
type session struct {
	in     Installer
	order  Order
	rec    *recorder
	log    io.WriteCloser // what programs say
	runner run.Runner     // writes to the log

	host   hive.MediumHost
	intent hive.Intent
	bundle secret.Bundle

	journal *journal
	phase   string
	mounted bool // the target is mounted, so that the journal can be on it

	chain   bootchain.Chain
	restart string // how the installed system is started: "reboot", "kexec"; empty: it cannot be told
	already bool   // this very system is installed already (unattended, with the medium left in)
}

// open prepares for the phases: from here on things change.
func (s *session) open() error {
	log, err := s.in.openLog()
	if err != nil {
		return err
	}
	s.log = log
	s.runner = logging{s.in.Runner, log}
	s.journal = newJournal(s.host, s.intent.Mode, s.in.file("journal.json"))
	if earlier := s.intent.Resume; earlier != nil {
		s.journal.Journal = *earlier
	}
	s.journal.Runs++
	s.journal.Done = false
	return s.journal.write()
}

// travel goes through the phases.
func (s *session) travel(ctx context.Context) error {
	defer s.log.Close() //nolint:errcheck // a log line that is lost is no failure of the machine
	for _, p := range phases() {
		if len(p.modes) > 0 && !slices.Contains(p.modes, s.intent.Mode) {
			continue
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", p.name, context.Cause(ctx))
		}
		if err := s.do(ctx, p); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if p.name == s.order.Until {
			return nil
		}
	}
	return nil
}

func (s *session) do(ctx context.Context, p phase) error {
	s.phase = p.name
	s.rec.begin(p.name, p.what)
	if p.remembered && s.journal.has(p.name) {
		s.rec.end("done by an earlier run", nil)
		return nil
	}
	if p.installs && s.already {
		s.rec.end("this very system is installed already", nil)
		return nil
	}
	_, _ = fmt.Fprintf(s.log, "\n== %s: %s\n", p.name, p.what)
	text, err := p.do(s, ctx)
	if err == nil {
		err = s.journal.finish(p.name)
	}
	if err != nil {
		_, _ = fmt.Fprintf(s.log, "== %s: %v\n", p.name, err)
	}
	s.rec.end(text, err)
	return err
}

// subject is what identify found out, in a line.
func (s *session) subject() string {
	if s.intent.Host == "" {
		return ""
	}
	text := fmt.Sprintf("%s (%s), mode %s", s.intent.Host, s.intent.Why, s.intent.Mode)
	for _, t := range s.intent.Targets {
		text += fmt.Sprintf("; disk %s is %s, %s: %s", t.Disk.Name, t.Device.Path, t.State, t.Fate)
	}
	return text
}

// last is the last word of a run.
func (s *session) last(err error) string {
	switch {
	case err == nil && s.order.Until != "":
		return s.intent.Host + " is not installed yet: it was to end after " + s.order.Until
	case err == nil:
		return s.intent.Host + " is installed"
	case s.phase == "":
		return "nothing was changed"
	}
	return fmt.Sprintf("%s is not installed; run setup again to go on from there", s.intent.Host)
}

func (s *session) targetFile(names ...string) string {
	return filepath.Join(append([]string{s.in.Root}, names...)...)
}

// logging is a runner that keeps what programs are called with and say.
type logging struct {
	run.Runner
	log io.Writer
}

func (l logging) Run(ctx context.Context, c run.Command) error {
	_, _ = fmt.Fprintf(l.log, "$ %s\n", c)
	if c.Stderr == nil && !c.Interactive {
		c.Stderr = l.log
	}
	err := l.Runner.Run(ctx, c)
	var failed *run.Error
	if errors.As(err, &failed) {
		_, _ = fmt.Fprintf(l.log, "-> exit code %d\n", failed.ExitCode)
	}
	return err
}
