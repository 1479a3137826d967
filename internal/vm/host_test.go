package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/need"
)

func TestProbeFindsWhatThisComputerHas(t *testing.T) {
	need.Program(t, emulatorProgram)
	h, err := Probe(soon(t), run.Local{}, Wish{UEFI: true})
	if err != nil {
		t.Fatal(err)
	}
	if h.Version == "" || !h.OVMF.exists() || h.OVMF.CodeFormat == "" {
		t.Errorf("found %+v", h)
	}
	if (h.Accelerator == KVM) != (h.WhyNotKVM == "") {
		t.Errorf("accelerator %q, reason %q", h.Accelerator, h.WhyNotKVM)
	}
	t.Logf("%+v", h)
}

func TestProbeRunsTheProcessorInLongMode(t *testing.T) {
	need.Program(t, emulatorProgram)
	rom := filepath.Join(t.TempDir(), "probe.rom")
	text := probeROM()
	if err := os.WriteFile(rom, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := tryAccelerator(soon(t), run.Local{}, TCG, rom); err != nil {
		t.Error(err)
	}
	// A program that goes astray is not taken for one that came to its end: here the last step of it is another.
	i := bytes.Index(text, []byte{0xb0, 0x10, 0xe6, 0xf4})
	text[i+1] = 0x11
	if err := os.WriteFile(rom, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := tryAccelerator(soon(t), run.Local{}, TCG, rom); err == nil {
		t.Error("it was taken for a success")
	}
}

// scripted is a runner for computers that are not at hand.
type scripted map[string]func(run.Command) error

func (s scripted) Run(_ context.Context, c run.Command) error {
	if f, ok := s[c.Name]; ok {
		return f(c)
	}
	return &run.MissingError{Program: c.Name}
}

func says(text string) func(run.Command) error {
	return func(c run.Command) error {
		_, err := fmt.Fprint(c.Stdout, text)
		return err
	}
}

func TestProbeTellsAllThatIsMissingAtOnce(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	for _, tt := range []struct {
		name string
		here scripted
		want []string
	}{
		{"nothing is there", scripted{}, []string{"program qemu-system-x86_64", "program qemu-img"}},
		{
			"too old",
			scripted{emulatorProgram: says("QEMU emulator version 6.2.0 (Debian)\n"), imageProgram: says("")},
			[]string{"QEMU 7.2 or newer (qemu-system-x86_64 is 6.2.0)"},
		},
		{"of no version", scripted{emulatorProgram: says("hello\n")}, []string{"is of unknown version", "program qemu-img"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Probe(t.Context(), tt.here, Wish{Accelerator: TCG})
			missing, ok := errors.AsType[*MissingError](err)
			if !ok || len(missing.Missing) != len(tt.want) {
				t.Fatalf("got %v", err)
			}
			for i, m := range missing.Missing {
				if !strings.Contains(m.What, tt.want[i]) || !strings.Contains(m.Hint, "apt install") {
					t.Errorf("%d: %+v, want %q", i, m, tt.want[i])
				}
			}
			if program, ok := errors.AsType[*run.MissingError](err); !ok || !strings.Contains(program.Hint, "nix-shell -p qemu") {
				t.Errorf("to others it is %v", program)
			}
		})
	}
}

func TestVersions(t *testing.T) {
	for text, want := range map[string]string{
		"QEMU emulator version 7.2.22 (Debian 1:7.2)":  "7.2.22 true",
		"QEMU emulator version 8.0.50 (v8.0.0-1-gabc)": "8.0.50 true",
		"QEMU emulator version 10.1.0":                 "10.1.0 true",
		"QEMU emulator version 7.1.0":                  "7.1.0 false",
		"":                                             "of unknown version false",
	} {
		if version, enough := readVersion(text); fmt.Sprint(version, " ", enough) != want {
			t.Errorf("%q: got %s %v, want %s", text, version, enough, want)
		}
	}
}

func TestFirmwareIsFoundByItsDescription(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		return file
	}
	describe := func(code, vars, format string, features ...string) string {
		return fmt.Sprintf(`{"interface-types": ["uefi"], "features": ["%s"], "tags": [],
			"mapping": {"device": "flash", "executable": {"filename": %q, "format": %q}, "nvram-template": {"filename": %q, "format": %q}},
			"targets": [{"architecture": "x86_64", "machines": ["pc-i440fx-*", "pc-q35-*"]}]}`,
			strings.Join(features, `", "`), code, format, vars, format)
	}
	code, vars := write("code", "c"), write("vars", "v")
	write("firmware/01-gone.json", describe("/no/such/code", vars, "raw"))
	write("firmware/02-secure.json", describe(write("secure", ""), vars, "raw", "secure-boot", "requires-smm"))
	write("firmware/03-broken.json", "{")
	write("firmware/04-other.json", strings.ReplaceAll(describe(code, vars, "raw"), "x86_64", "aarch64"))
	write("firmware/05-bios.json", strings.ReplaceAll(describe(code, vars, "raw"), "uefi", "bios"))
	write("firmware/06-good.json", describe(code, vars, "qcow2", "acpi-s3"))
	write("firmware/07-later.json", describe(vars, code, "raw"))
	none := func(string) string { return "" }
	if got, want := findFlash(Flash{}, none, []string{dir}), (Flash{code, vars, "qcow2", "qcow2"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	// The user's own folder has the last word on a name.
	write("home/.config/qemu/firmware/06-good.json", describe(vars, code, "raw"))
	environment := map[string]string{"HOME": filepath.Join(dir, "home")}
	env := func(key string) string { return environment[key] }
	if got, want := findFlash(Flash{}, env, []string{dir}), (Flash{vars, code, "raw", "raw"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	maps.Copy(environment, map[string]string{"STAGED_HIVE_OVMF_CODE": "/a", "STAGED_HIVE_OVMF_VARS": "/b"})
	if got, want := findFlash(Flash{}, env, []string{dir}), (Flash{"/a", "/b", "raw", "raw"}); got != want {
		t.Errorf("of the environment: got %+v", got)
	}
	wish := Flash{Code: "/c", Vars: "/d", CodeFormat: "qcow2"}
	if got, want := findFlash(wish, env, nil), (Flash{"/c", "/d", "qcow2", "raw"}); got != want {
		t.Errorf("asked for: got %+v", got)
	}
}

func TestFirmwareIsFoundWithoutADescription(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"edk2-x86_64-code.fd", "edk2-i386-vars.fd"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all := usualFlash([]string{dir})
	if !all[0].exists() || slices.IndexFunc(all, func(f Flash) bool { return !filepath.IsAbs(f.Code) || f.CodeFormat != "raw" }) >= 0 {
		t.Errorf("got %+v", all)
	}
}
