package setup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/stage/setup/bootchain"
	"nixos-staged-hive/internal/stage/setup/closure"
)

// copy brings the closure of the mini system to the target.
func (s *session) copy(ctx context.Context) (string, error) {
	paths, err := s.closure()
	if err != nil {
		return "", err
	}
	report, err := closure.Copy{
		To: s.in.Root,
		Progress: func(done, total int64) {
			s.rec.sink(progress.Event{State: progress.Running, Done: done, Total: total, Text: "copy the mini system"})
		},
	}.Run(ctx, paths)
	if err != nil {
		return "", err
	}
	if err := closure.Register(ctx, s.runner, s.in.Root, filepath.Join(s.host.Closure, "registration"), s.log); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d store paths copied, %d were there, %d replaced", report.Copied, report.Kept, report.Replaced), nil
}

func (s *session) closure() ([]closure.Path, error) {
	f, err := os.Open(filepath.Join(s.host.Closure, "registration"))
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	return closure.Read(f)
}

// install makes the mini system the target's system and installs the boot loader, as nixos-install does. With everything in the target's store it
// evaluates, builds and downloads nothing. That it exits with 0 proves nothing (NixOS up to 24.05 says "installation finished!" also when the boot
// loader failed): bootChain reads it back.
func (s *session) install(ctx context.Context) (string, error) {
	if err := s.openParents(); err != nil {
		return "", err
	}
	dropped, err := bootchain.DropRemains(s.in.Root, s.host)
	if err != nil {
		return "", err
	}
	if len(dropped) > 0 {
		s.rec.warn("an earlier run was cut off while it wrote " + strings.Join(dropped, " and ") + ": written anew")
	}
	err = s.runner.Run(ctx, run.Command{
		Name: "nixos-install",
		Args: []string{"--root", s.in.Root, "--system", s.host.Toplevel, "--no-root-passwd", "--no-channel-copy", "--substituters", ""},
		// nixos-enter and the activation want a PATH, and nothing else of the caller's
		Stdout: s.log,
	})
	if err != nil {
		return "", err
	}
	profile, err := s.profile()
	if err != nil {
		return "", fmt.Errorf("read the system's profile back: %w", err)
	}
	if filepath.Base(profile) != filepath.Base(s.host.Toplevel) {
		return "", fmt.Errorf("the system's profile is %s, not %s", profile, s.host.Toplevel)
	}
	return "", nil
}

// profile follows the links of the target's system profile: system -> system-N-link -> /nix/store/...
func (s *session) profile() (string, error) {
	name := s.targetFile("nix/var/nix/profiles/system")
	for range 10 {
		to, err := os.Readlink(name)
		if err != nil {
			return "", err
		}
		if strings.HasPrefix(to, "/nix/store/") {
			return to, nil
		}
		if filepath.IsAbs(to) {
			name = s.targetFile(to)
		} else {
			name = filepath.Join(filepath.Dir(name), to)
		}
	}
	return "", errors.New("too many links")
}

// openParents sees to it that everybody may enter the folders above the target: nixos-install refuses otherwise.
func (s *session) openParents() error {
	for dir := filepath.Clean(s.in.Root); ; dir = filepath.Dir(dir) {
		stat, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if stat.Mode().Perm()&0o005 != 0o005 {
			if err := os.Chmod(dir, stat.Mode().Perm()|0o055); err != nil {
				return err
			}
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// hostKeys places what no store may hold, and the definition of the mini system for who wants to rebuild it on the machine. It comes before the
// first activation: users that exist already keep the password they have (users.mutableUsers), or have not.
func (s *session) hostKeys(context.Context) (string, error) {
	var placed []string
	if s.bundle.HostKey != "" {
		if err := placeHostKey(s.targetFile("etc/ssh"), s.bundle); err != nil {
			return "", err
		}
		placed = append(placed, "host key")
	} else {
		s.rec.warn("no host key was known beforehand: the host makes its own, and the first connection cannot be verified")
	}
	if d := s.host.Plan.Deployer; d.HasPassword && s.bundle.PasswordHash != "" {
		if err := writeDurably(s.targetFile(d.PasswordFile()), []byte(s.bundle.PasswordHash+"\n"), 0o600); err != nil {
			return "", err
		}
		placed = append(placed, "password of "+d.Name)
	}
	if s.host.Configuration != "" {
		if err := copyTree(s.host.Configuration, s.targetFile("etc/nixos")); err != nil {
			return "", fmt.Errorf("place /etc/nixos: %w", err)
		}
		placed = append(placed, "/etc/nixos")
	}
	return strings.Join(placed, ", "), nil
}

// copyTree copies files and folders over what is there; what else is there stays. Links are followed: the medium's store is not on the target.
func copyTree(from, to string) error {
	return filepath.Walk(from, func(name string, _ fs.FileInfo, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		stat, err := os.Stat(name)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case stat.IsDir() && name != from && isLink(name):
			return copyTree(name+"/.", target)
		case stat.IsDir():
			return os.MkdirAll(target, 0o755)
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return writeDurably(target, content, stat.Mode().Perm()|0o200)
	})
}

func isLink(name string) bool {
	stat, err := os.Lstat(name)
	return err == nil && stat.Mode()&fs.ModeSymlink != 0
}

func (s *session) preScripts(ctx context.Context) (string, error) {
	if err := placeFiles(s.bundle); err != nil {
		return "", err
	}
	return s.userScript(ctx, s.host.PreScript, "hive.setup.preScript")
}

func (s *session) postScripts(ctx context.Context) (string, error) {
	return s.userScript(ctx, s.host.PostScript, "hive.setup.postScript")
}

// ScriptError is a line of the definition's own scripts that failed.
type ScriptError struct {
	Host, Option string
	Err          error
}

func (e *ScriptError) Error() string { return fmt.Sprintf("%s of %s: %v", e.Option, e.Host, e.Err) }

// Unwrap gives what the program said.
func (e *ScriptError) Unwrap() error { return e.Err }

// Hint is what to do about it.
func (e *ScriptError) Hint() string {
	return "everything it wrote is in /run/nixos-staged-hive/setup.log; mend " + e.Option + " in the definition and write the medium again, or leave the line out"
}

func (s *session) userScript(ctx context.Context, script, option string) (string, error) {
	if script == "" {
		return "there is none", nil
	}
	err := s.runner.Run(ctx, run.Command{Name: script, Stdout: s.log, Env: []string{"HIVE_HOST=" + s.host.Name, "HIVE_ROOT=" + s.in.Root}})
	if err != nil {
		return "", &ScriptError{s.host.Name, option, err}
	}
	return "", nil
}
