package setup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/stage/setup/disks"
	"nixos-staged-hive/internal/stage/setup/machine"
)

// site is the machine for package disks.
func (s *session) site() disks.Site {
	site := disks.Site{
		Run: s.in.Runner, Plan: s.host.Plan, Targets: s.intent.Targets, Root: s.in.Root, Medium: s.intent.Machine.Medium,
		Log: s.log, Events: s.rec.sink,
	}
	answers, err := s.in.answers()
	if err != nil {
		s.rec.warn("read the passphrase: " + err.Error())
	}
	if site.Input = answers; answers == nil {
		site.Terminal = s.order.Terminal
	}
	return site
}

// release takes down what an earlier run or the medium's own udev put up on the disks.
func (s *session) release(ctx context.Context) (string, error) {
	if err := s.aliases(); err != nil {
		return "", err
	}
	return "", s.site().Release(ctx)
}

// aliases makes the links that stand for disks with a selector.
func (s *session) aliases() error {
	for _, t := range s.intent.Targets {
		if t.Disk.Selector.Empty() {
			continue
		}
		link := filepath.Join(s.in.Dir, "disk", t.Disk.Name)
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			return err
		}
		if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := os.Symlink(t.Device.Path, link); err != nil {
			return err
		}
	}
	return nil
}

// takeUp looks on the disks for an installation that a power failure interrupted. If all of them say so, and the file system that was to be the
// root mounts and remembers this very installation, it goes on there; else it begins with empty disks, on which there is nothing to lose.
func (s *session) takeUp(ctx context.Context) (string, error) {
	if s.journal.has("format") {
		return "this start of the medium remembers: the disks are laid out and formatted", nil
	}
	// half a file system looks like a whole one to disko's script: what was not formatted to the end begins with empty disks
	s.journal.forget("wipe")
	for _, t := range s.intent.Targets {
		if !t.Disk.Additional && t.State != machine.StateInterrupted {
			return "there is none", nil
		}
	}
	earlier, err := s.peek(ctx)
	switch {
	case err != nil:
		return "there was one; what it left does not mount, so it begins anew", s.site().Release(ctx)
	case !of(earlier, s.host) || earlier.Mode != s.intent.Mode || !slices.Contains(earlier.Finished, "format"):
		return "there was one, of something else or not far; it begins anew", s.site().Release(ctx)
	}
	s.journal.Finished = []string{"wipe", "format"}
	s.journal.Began, s.journal.Runs = earlier.Began, earlier.Runs+1
	return fmt.Sprintf("begun %s, interrupted after %s: it goes on from there", earlier.Began.Format("2006-01-02 15:04"), earlier.Finished[len(earlier.Finished)-1]),
		s.site().Release(ctx)
}

// peek mounts what is there, reads its journal, and leaves it mounted.
func (s *session) peek(ctx context.Context) (*hive.Journal, error) {
	if err := s.site().Mount(ctx, s.host.Scripts.Mount); err != nil {
		return nil, err
	}
	return readJournal(s.targetFile(hive.JournalFile))
}

func (s *session) undoDir() string { return s.in.file("undo") }

func (s *session) saveUndo(ctx context.Context) (string, error) {
	if s.journal.has("wipe") {
		return "the disks are ours already", nil
	}
	if err := s.site().SaveUndo(ctx, s.undoDir()); err != nil {
		return "", err
	}
	return "it is in " + s.undoDir() + "; `setup undo` writes it back, as long as the medium runs", nil
}

func (s *session) wipe(ctx context.Context) (string, error) {
	return "", s.site().Wipe(ctx)
}

func (s *session) format(ctx context.Context) (string, error) {
	return "", s.site().Format(ctx, s.host.Scripts.Format)
}

func (s *session) check(ctx context.Context) (string, error) {
	return "", s.site().Check(ctx, s.host.Scripts.Mount)
}

// mount mounts everything and proves what is where. From here on the target remembers.
func (s *session) mount(ctx context.Context) (string, error) {
	site := s.site()
	if err := site.Mount(ctx, s.host.Scripts.Mount); err != nil {
		return "", err
	}
	room, err := s.room()
	if err != nil {
		return "", err
	}
	problems, err := site.VerifyMounts(ctx, room)
	if err != nil {
		return "", err
	}
	if err := s.sort(problems); err != nil {
		return "", err
	}
	s.mounted = true
	if s.order.Unattended && s.intent.Mode == hive.Keep {
		earlier, err := readJournal(s.targetFile(hive.JournalFile))
		if err != nil {
			return "", err
		}
		s.already = of(earlier, s.host) && earlier.Done
	}
	// secret files have opened what they were for
	if err := removeFiles(s.bundle); err != nil {
		return "", err
	}
	return mountsText(s.host.Plan), s.journal.keepAt(s.targetFile(hive.JournalFile))
}

func mountsText(p hive.Plan) string {
	var all []string
	for _, f := range p.Storage.FileSystems {
		all = append(all, f.MountPoint+" "+f.Type)
	}
	return strings.Join(all, ", ")
}

// room is what has to fit yet: the store paths that are not there, and kernel and initrd, of which later deployments bring others.
func (s *session) room() (disks.Room, error) {
	var room disks.Room
	paths, err := s.closure()
	if err != nil {
		return room, err
	}
	for _, p := range paths {
		if _, err := os.Lstat(s.targetFile(p.Name)); err != nil {
			room.Store += p.Bytes
		}
	}
	for _, name := range []string{"kernel", "initrd"} {
		stat, err := os.Stat(filepath.Join(s.host.Toplevel, name))
		if err != nil {
			return room, err
		}
		room.Boot += stat.Size()
	}
	if s.intent.Mode == hive.Fresh && !s.journal.has("install") {
		room.Boot *= 3
	}
	return room, nil
}

// close ends the installation on the disks: the target gets journal and log, everything is unmounted, and only then the tables say that this
// is a finished installation.
func (s *session) close(ctx context.Context) (string, error) {
	s.journal.Done = true
	if err := s.journal.finish("close"); err != nil {
		return "", err
	}
	if err := s.keepLog(); err != nil {
		return "", err
	}
	s.journal.leave(s.targetFile(hive.JournalFile))
	site := s.site()
	if err := site.Close(ctx); err != nil {
		return "", err
	}
	s.mounted = false
	return "", site.Seal(ctx)
}

// keepLog puts what happened beside the journal on the installed system. The undo kit goes with it: it tells what the disks were.
func (s *session) keepLog() error {
	dir := filepath.Dir(s.targetFile(hive.JournalFile))
	for _, name := range []string{logFile, eventsFile} {
		content, err := os.ReadFile(s.in.file(name))
		if err != nil {
			return err
		}
		if err := writeDurably(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	if _, err := os.Stat(s.undoDir()); err != nil {
		return nil //nolint:nilerr // there is none in keep mode
	}
	return copyTree(s.undoDir(), filepath.Join(dir, "undo"))
}

// Undo are the kits of disks that installations of this start of the medium wiped.
func (in Installer) Undo() ([]disks.Kit, error) { return disks.Kits(in.file("undo")) }

// Restore writes a kit back to its disk. It destroys what was written there since.
func (in Installer) Restore(ctx context.Context, k disks.Kit) error {
	lock, err := in.lock()
	if err != nil {
		return err
	}
	defer lock.Close() //nolint:errcheck // closing ends the lock in any case
	log, err := in.openLog()
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // a log line that is lost is no failure of the machine
	found, err := machine.Probe(ctx, in.Runner)
	if err != nil {
		return err
	}
	site := disks.Site{Run: in.Runner, Root: in.Root, Medium: found.Medium, Log: log}
	return site.Restore(ctx, k)
}
