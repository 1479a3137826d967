package install

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/remote"
	"nixos-staged-hive/internal/run"
)

const ours = `{"schema":1,"hostName":"www","firmware":"uefi","memoryBytes":1024}`

func TestAMediumSaysWhatItsMachineIs(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.write("hardware.json", ours)
	m.write("bin/nixos-generate-config", "#!/bin/sh\necho \"{ } # $*\"\n")
	check(t, os.Chmod(m.file("bin/nixos-generate-config"), 0o755))
	r, err := Hardware(t.Context(), m.reached(m.address()).Runner, "/nowhere")
	if err != nil || r.Machine.Firmware != "uefi" || r.Machine.Memory != 1024 || r.Configuration != "{ } # --show-hardware-config --no-filesystems\n" {
		t.Errorf("got %+v, %v", r, err)
	}
	m.write("hardware.json", `{"schema":9}`)
	if _, err := Hardware(t.Context(), m.reached(m.address()).Runner, "/nowhere"); err == nil || !strings.Contains(err.Error(), "schema 9") {
		t.Errorf("another version: %v", err)
	}
}

// program is a file that prints text, and writes down how it was called.
func program(t *testing.T, m *machine, text string) string {
	t.Helper()
	m.write("lent", "#!/bin/sh\necho \"$0 $*\" >> \"$STANDIN/lent-calls\"\n"+text+"\n")
	return m.file("lent")
}

func TestAnotherLinuxIsLentOurProgram(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	runner := m.reached(m.address()).Runner
	m.installed("running")
	r, err := Hardware(t.Context(), runner, program(t, m, "echo '"+ours+"'"))
	if err != nil || r.Machine.HostName != "www" || r.Configuration != "" {
		t.Errorf("got %+v, %v", r, err)
	}
	path, args, _ := strings.Cut(strings.TrimSpace(m.read("lent-calls")), " ")
	if args != "on-medium hardware --json" || !strings.HasPrefix(path, "/tmp/nixos-staged-hive.") {
		t.Errorf("called %s with %q", path, args)
	}
	if there(filepath.Dir(path)) {
		t.Errorf("%s is left behind", path)
	}
}

func TestAProgramThatDoesNotRunThereIsTakenAwayEverywhere(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	runner := m.reached(m.address()).Runner
	m.installed("running")
	_, err := Hardware(t.Context(), runner, program(t, m, "echo no such thing >&2; exit 3"))
	if failed, ok := errors.AsType[*run.Error](err); !ok || failed.ExitCode != 3 {
		t.Errorf("got %v", err)
	}
	calls := strings.Split(strings.TrimSpace(m.read("lent-calls")), "\n")
	if len(calls) != 3 {
		t.Errorf("called %q", calls)
	}
	for _, call := range calls {
		path, _, _ := strings.Cut(call, " ")
		if there(filepath.Dir(path)) {
			t.Errorf("%s is left behind", path)
		}
	}
	if _, err := Hardware(t.Context(), runner, m.file("no-program")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no program here: %v", err)
	}
}

func TestAMachineOfAnotherKindIsNotLentAnything(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	runner := m.reached(m.address()).Runner
	m.installed("running")
	m.write("bin/uname", "#!/bin/sh\necho Darwin arm64\n")
	check(t, os.Chmod(m.file("bin/uname"), 0o755))
	_, err := Hardware(t.Context(), runner, program(t, m, ""))
	if e, ok := errors.AsType[*PlatformError](err); !ok || e.Theirs != "Darwin arm64" || e.Hint() == "" {
		t.Errorf("got %v", err)
	}
	m.Close()
	_, err = Hardware(t.Context(), runner, program(t, m, ""))
	if e, ok := errors.AsType[*remote.ConnectionError](err); !ok || e.Reason != remote.Refused {
		t.Errorf("nobody there: %v", err)
	}
}

func TestAConfigurationIsKeptUntilSomebodyChangesIt(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "generated", "web1")
	file := filepath.Join(folder, "hardware-configuration.nix")
	k := Keep{
		Folder: folder, Text: "{ a = 1; }\n", Host: "web1", Now: time.Date(2026, 11, 24, 1, 2, 3, 0, time.UTC),
		Machine: hive.Machine{Product: hive.Product{Vendor: "ACME\n}; evil", Name: "Box\u2028", Serial: "12"}},
	}
	keep := func(want bool) string {
		t.Helper()
		changed, err := KeepConfiguration(k)
		if err != nil || changed != want {
			t.Fatalf("changed %v, %v", changed, err)
		}
		text, err := os.ReadFile(file)
		check(t, err)
		return string(text)
	}
	first := keep(true)
	lines := strings.SplitAfterN(first, "\n", 3)
	if lines[0] != "# web1: ACME }; evil Box  serial 12, asked 2026-11-24T01:02:03Z\n" || !strings.HasPrefix(lines[1], "# Written by nixos-staged-hive") ||
		lines[2] != k.Text {
		t.Errorf("got %q", first)
	}
	k.Now = k.Now.Add(time.Hour)
	if again := keep(false); again != first {
		t.Error("the same was written again")
	}
	k.Text = "{ a = 2; }\n"
	second := keep(true)
	if !strings.HasSuffix(second, "Z\n"+lines[1][:20]+strings.SplitAfterN(second, "\n", 3)[1][20:]+k.Text) {
		t.Errorf("got %q", second)
	}
	for _, edited := range []string{"{ }\n", second + "# mine\n", strings.Replace(second, "a = 2", "a = 3", 1), ""} {
		check(t, os.WriteFile(file, []byte(edited), 0o600))
		changed, err := KeepConfiguration(k)
		if e, ok := errors.AsType[*HandWrittenError](err); !ok || changed || e.File != file || !strings.Contains(e.Hint(), "--force") {
			t.Errorf("%q: %v, %v", edited, changed, err)
		}
		if text, _ := os.ReadFile(file); string(text) != edited {
			t.Errorf("%q became %q", edited, text)
		}
	}
	k.Override = true
	if text := keep(true); !strings.HasSuffix(text, k.Text) {
		t.Errorf("got %q", text)
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 1 {
		t.Errorf("left over: %v, %v", entries, err)
	}
}
