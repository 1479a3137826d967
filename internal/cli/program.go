package cli

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"nixos-staged-hive/internal/nix"
)

// machines are the platforms of Nix that this program is built for, as ELF and Go call them.
var machines = map[string]struct { //nolint:gochecknoglobals // constant
	elf    elf.Machine
	goarch string
}{
	"x86_64-linux":  {elf.EM_X86_64, "amd64"},
	"aarch64-linux": {elf.EM_AARCH64, "arm64"},
}

// setupProgram puts the program that becomes `setup` on media of a platform into the store: this one, or the one of the other platform beside it. It
// has to be static, since the medium has no other libraries than its own. link keeps it from the garbage collector.
func (h *house) setupProgram(ctx context.Context, platform, given, link string) (string, error) {
	file, err := h.programFile(platform, given)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		return "", err
	}
	return nix.Client{Run: h.run}.Add(ctx, file, "nixos-staged-hive-setup", link)
}

func (h *house) programFile(platform, given string) (string, error) {
	want, known := machines[platform]
	if !known {
		return "", &refusal{fmt.Errorf("there is no medium for the platform %s", platform), "hosts of x86_64-linux and aarch64-linux can be installed from a medium", codeFailed}
	}
	candidates := []string{given}
	if given == "" {
		candidates = []string{h.exe, h.exe + "-" + platform}
		if want.goarch != runtime.GOARCH {
			candidates = candidates[1:]
		}
	}
	var problems []error
	for _, file := range candidates {
		err := fitsMedium(file, want.elf)
		if err == nil {
			return file, nil
		}
		problems = append(problems, err)
	}
	return "", &refusal{
		fmt.Errorf("no program for media of %s: %w", platform, errors.Join(problems...)),
		fmt.Sprintf("build it from the source: CGO_ENABLED=0 GOARCH=%s go build -o %s-%s ./cmd/nixos-staged-hive, or name it with --setup-program",
			want.goarch, strings.TrimSuffix(h.exe, "-"+platform), platform), codeMissing,
	}
}

// fitsMedium looks whether a file is a static program for a processor.
func fitsMedium(name string, machine elf.Machine) error {
	f, err := elf.Open(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	if f.Machine != machine {
		return fmt.Errorf("%s is for %s", name, f.Machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("%s is not static", name)
		}
	}
	return nil
}
