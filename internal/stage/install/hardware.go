package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
)

// Report is what a machine is.
type Report struct {
	Machine hive.Machine `json:"machine"`
	// Configuration is what nixos-generate-config would write as hardware-configuration.nix, without file systems; empty where that program is
	// missing.
	Configuration string `json:"configuration"`
}

// PlatformError is a machine that our program cannot run on.
type PlatformError struct{ Ours, Theirs string } // as uname -m says it

func (e *PlatformError) Error() string {
	return fmt.Sprintf("the machine is %s, and this program was built for %s", e.Theirs, e.Ours)
}

// Hint says what the user can do.
func (e *PlatformError) Hint() string {
	return "start the machine from a medium: that has the program for it"
}

// Hardware asks a machine what it is. On a medium `setup` tells; any other Linux gets our own program for that moment, which is the static file
// binary on this computer (os.Executable), and is removed again. Nothing else is changed.
func Hardware(ctx context.Context, machine run.Runner, binary string) (Report, error) {
	var r Report
	var err error
	if machine.Run(ctx, run.Command{Name: "cat", Args: []string{hive.ManifestFile}}) == nil {
		r.Machine, err = machineOf(ctx, machine, run.Command{Name: "setup", Args: []string{"hardware", "--json"}})
	} else {
		r.Machine, err = lend(ctx, machine, binary)
	}
	if err != nil {
		return Report{}, fmt.Errorf("ask what the machine is: %w", err)
	}
	r.Configuration, err = generated(ctx, machine)
	if err != nil {
		return Report{}, fmt.Errorf("ask for the machine's hardware-configuration.nix: %w", err)
	}
	return r, nil
}

func machineOf(ctx context.Context, machine run.Runner, c run.Command) (hive.Machine, error) {
	m, err := run.JSON[hive.Machine](ctx, machine, c)
	if err == nil && m.Schema != hive.ManifestSchema {
		err = fmt.Errorf("its program is of another version: schema %d instead of %d", m.Schema, hive.ManifestSchema)
	}
	return m, err
}

// generated asks NixOS' own program.
func generated(ctx context.Context, machine run.Runner) (string, error) {
	text, err := run.Output(ctx, machine, run.Command{
		Name: "nixos-generate-config", Args: []string{"--show-hardware-config", "--no-filesystems"},
	})
	if missing, ok := errors.AsType[*run.MissingError](err); ok && missing.Program == "nixos-generate-config" {
		return "", nil
	}
	return string(text), err
}

// lend puts our program onto the machine, asks it, and removes it, also when we are interrupted.
func lend(ctx context.Context, machine run.Runner, binary string) (hive.Machine, error) {
	if err := samePlatform(ctx, machine); err != nil {
		return hive.Machine{}, err
	}
	problems := []error{}
	for _, above := range []string{"/tmp", "/var/tmp", "/dev/shm"} { // any of them may be mounted noexec, or be full
		m, err := lendAt(ctx, machine, binary, above)
		if err == nil {
			return m, nil
		}
		problems = append(problems, fmt.Errorf("in %s: %w", above, err))
		if unasked(ctx, err) {
			break
		}
	}
	return hive.Machine{}, errors.Join(problems...)
}

func lendAt(ctx context.Context, machine run.Runner, binary, above string) (m hive.Machine, err error) {
	out, err := run.Output(ctx, machine, run.Command{Name: "mktemp", Args: []string{"-d", above + "/nixos-staged-hive.XXXXXXXXXX"}})
	dir := strings.TrimSpace(string(out))
	if err == nil && !strings.HasPrefix(dir, above+"/nixos-staged-hive.") {
		err = fmt.Errorf("mktemp answers %.80q", out)
	}
	if err != nil {
		return m, fmt.Errorf("make a folder: %w", err)
	}
	defer func() {
		after, end := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
		defer end()
		if gone := machine.Run(after, run.Command{Name: "rm", Args: []string{"-rf", "--", dir}}); gone != nil && err == nil {
			err = fmt.Errorf("remove our program from the machine again: %w", gone)
		}
	}()
	program := dir + "/nixos-staged-hive"
	if err := upload(ctx, machine, binary, program); err != nil {
		return m, err
	}
	return machineOf(ctx, machine, run.Command{Name: program, Args: []string{"on-medium", "hardware", "--json"}})
}

func upload(ctx context.Context, machine run.Runner, from, to string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	err = machine.Run(ctx, run.Command{Name: "sh", Args: []string{"-c", `umask 077; cat > "$1" && chmod 700 "$1"`, "sh", to}, Stdin: f})
	if err != nil {
		return fmt.Errorf("bring our program there: %w", err)
	}
	return nil
}

// samePlatform compares kernels: our program is Linux' and for one processor.
func samePlatform(ctx context.Context, machine run.Runner) error {
	out, err := run.Output(ctx, machine, run.Command{Name: "uname", Args: []string{"-s", "-m"}})
	if err != nil {
		return err
	}
	ours := "Linux " + unameOf(runtime.GOARCH)
	if theirs := strings.TrimSpace(string(out)); theirs != ours {
		return &PlatformError{Ours: ours, Theirs: theirs}
	}
	return nil
}

// unameOf is how uname -m calls what Go calls a GOARCH; names of others are the same.
func unameOf(arch string) string {
	switch arch {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	case "386":
		return "i686"
	}
	return arch
}
