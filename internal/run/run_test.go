package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func sh(script string, args ...string) Command {
	return Command{Name: "sh", Args: append([]string{"-c", script, "sh"}, args...)}
}

func TestOutputReturnsStdoutWholeAndUnchanged(t *testing.T) {
	out, err := Output(t.Context(), Local{}, sh(`printf 'a\n\n b\0'; echo noise >&2`))
	if err != nil || string(out) != "a\n\n b\x00" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestOutputStillFeedsTheLiveCopy(t *testing.T) {
	var live, errs bytes.Buffer
	c := sh("cat; echo e >&2")
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader("in"), &live, &errs
	out, err := Output(t.Context(), Local{}, c)
	if err != nil || string(out) != "in" || live.String() != "in" || errs.String() != "e\n" {
		t.Errorf("got %q, live %q, stderr %q, %v", out, live.String(), errs.String(), err)
	}
}

func TestDirAndEnvReachTheProgramAndTheLastValueWins(t *testing.T) {
	t.Setenv("STAGED_HIVE_TEST", "outer")
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := sh(`echo "$PWD $STAGED_HIVE_TEST"`)
	c.Dir, c.Env = dir, []string{"STAGED_HIVE_TEST=first", "STAGED_HIVE_TEST=last one"}
	out, err := Output(t.Context(), Local{}, c)
	if err != nil || string(out) != dir+" last one\n" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestStdinIsEmptyUnlessGiven(t *testing.T) {
	out, err := Output(t.Context(), Local{}, sh("wc -c"))
	if err != nil || strings.TrimSpace(string(out)) != "0" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestBadExitCarriesStatusAndStderr(t *testing.T) {
	err := Local{}.Run(t.Context(), sh("echo first >&2; echo 'why not' >&2; exit 7"))
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("got %T %v", err, err)
	}
	if e.ExitCode != 7 || string(e.Stderr) != "first\nwhy not\n" {
		t.Errorf("exit %d, stderr %q", e.ExitCode, e.Stderr)
	}
	if got, want := err.Error(), "sh: exit status 7: why not"; got != want {
		t.Errorf("text %q, want %q", got, want)
	}
}

func TestErrorTextPrefersTheLineThatStartsWithError(t *testing.T) {
	for _, tt := range []struct{ name, stderr, want string }{
		{"nix puts the place after the message", "error: undefined variable 'x'\n\n   at a.nix:1:1:\n     1| x\n      | ^\n", "undefined variable 'x'"},
		{"the last error wins", "error: one\nerror: two\n", "two"},
		{"no error line", "a\n  b  \n\n", "b"},
		{"error: alone on its line says nothing", "error:\nreason\n", "reason"},
		{"silence", "\n \n", ""},
		{"bytes that are no text", "bad \xff byte", "bad \uFFFD byte"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tellingLine([]byte(tt.stderr)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestSignalledProgramHasNoExitCode(t *testing.T) {
	e, ok := errors.AsType[*Error](Local{}.Run(t.Context(), sh("kill -KILL $$")))
	if !ok || e.ExitCode != -1 || !strings.Contains(e.Error(), "killed") {
		t.Errorf("got %v", e)
	}
}

func TestMissingProgramIsTyped(t *testing.T) {
	plainFile := filepath.Join(t.TempDir(), "not-executable")
	if err := os.WriteFile(plainFile, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"no-such-program-anywhere", "/no/such/program", plainFile} {
		err := Local{}.Run(t.Context(), Command{Name: name})
		m, ok := errors.AsType[*MissingError](err)
		if !ok || m.Program != name || !strings.Contains(m.Error(), name) {
			t.Errorf("%s: got %T %v", name, err, err)
		}
	}
}

func TestMissingDirectoryIsNotTakenForAMissingProgram(t *testing.T) {
	c := sh("true")
	c.Dir = "/no/such/folder"
	err := Local{}.Run(t.Context(), c)
	if e, ok := errors.AsType[*Error](err); !ok || e.ExitCode != -1 || !strings.Contains(e.Error(), c.Dir) {
		t.Errorf("got %T %v", err, err)
	}
}

func TestStderrIsKeptFromTheEndAndBounded(t *testing.T) {
	err := Local{}.Run(t.Context(), sh(`i=0; while [ $i -lt 5000 ]; do echo "line $i ........................................" >&2; i=$((i+1)); done; exit 1`))
	e, ok := errors.AsType[*Error](err)
	if !ok || len(e.Stderr) != tailLimit || !bytes.HasSuffix(e.Stderr, []byte("line 4999 ........................................\n")) {
		t.Fatalf("got %v with %d bytes", err, len(e.Stderr))
	}
}

func TestSecretsAreMaskedInErrorsStringsAndLogs(t *testing.T) {
	const token, key = "hunter'2", "-----BEGIN-----\nbody of key\n-----END-----"
	c := sh(`echo "bad token $1" >&2; echo "$KEY" >&2; exit 1`, token)
	c.Env, c.Secret = []string{"KEY=" + key}, []string{token, key, ""}
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	err := Local{Log: logger}.Run(t.Context(), c)
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	var dry bytes.Buffer
	if err := (Printer{&dry}).Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for where, text := range map[string]string{
		"error": err.Error(), "stderr": string(e.Stderr), "string": c.String(), "log": log.String(), "dry run": dry.String(),
	} {
		for _, secret := range []string{"hunter", "body of key", "BEGIN"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows %q: %s", where, secret, text)
			}
		}
	}
	if !strings.Contains(log.String(), "bad token $1") {
		t.Errorf("the log does not show the command: %s", log.String())
	}
}

func TestSecretCutAtTheTailsStartDoesNotShowItsRest(t *testing.T) {
	secret := strings.Repeat("s", 100)
	kept := &tail{limit: 120}
	fmt.Fprintf(kept, "%s\n%s", secret, strings.Repeat("x", 80))
	if got := string(kept.masked([]string{secret})); strings.Contains(got, "s") {
		t.Errorf("got %q", got)
	}
}

func TestEndOfContextInterruptsTheWholeGroup(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	loop := `echo >> up; while :; do sleep 0.05; done`
	c := sh(`trap 'echo parent >> seen; exit 3' INT; echo >> up; sh -c "$1"`, `trap 'echo child >> seen; exit' INT; `+loop)
	c.Dir = dir
	go func() {
		waitFor(func() bool { b, _ := os.ReadFile(filepath.Join(dir, "up")); return len(b) == 2 })
		cancel()
	}()
	err := Local{}.Run(ctx, c)
	e, ok := errors.AsType[*Error](err)
	if !ok || !errors.Is(err, context.Canceled) || e.ExitCode != 3 {
		t.Fatalf("got %v", err)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "seen")); string(b) != "child\nparent\n" {
		t.Errorf("seen: %q", b)
	}
}

func TestProgramsThatIgnoreTheInterruptAreKilledWithTheirChildren(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		waitFor(func() bool { b, _ := os.ReadFile(pidFile); return bytes.HasSuffix(b, []byte("\n")) })
		cancel()
	}()
	c := sh(`trap '' INT; sleep 60 & echo $! > "$1"; wait; sleep 60`, pidFile)
	c.Grace = 200 * time.Millisecond
	start := time.Now()
	err := Local{}.Run(ctx, c)
	if !errors.Is(err, context.Canceled) || time.Since(start) > 5*time.Second {
		t.Fatalf("got %v after %s", err, time.Since(start))
	}
	b, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	if !waitFor(func() bool { return gone(pid) }) {
		t.Errorf("child %d outlived the command", pid)
	}
}

func TestProgramIsNotStartedWhenTheContextHasEnded(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	cancel(reason)
	err := Local{}.Run(ctx, sh(`: > "$1"`, mark))
	if _, statErr := os.Stat(mark); !errors.Is(err, reason) || statErr == nil {
		t.Errorf("got %v; mark: %v", err, statErr)
	}
}

func TestInteractiveProgramStaysInOurGroupAndIsAskedToEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var out bytes.Buffer
	c := sh(`trap 'exit 5' TERM; ps -o pgid= -p $$ 2>/dev/null || cut -d' ' -f5 /proc/$$/stat; while :; do sleep 0.05; done`)
	c.Interactive, c.Stdin, c.Stderr = true, strings.NewReader(""), io.Discard
	c.Stdout = writerFunc(func(p []byte) (int, error) { cancel(); return out.Write(p) })
	err := Local{}.Run(ctx, c)
	e, ok := errors.AsType[*Error](err)
	if !ok || !errors.Is(err, context.Canceled) || e.ExitCode != 5 {
		t.Fatalf("got %v", err)
	}
	if got := strings.TrimSpace(out.String()); got != strconv.Itoa(syscall.Getpgrp()) {
		t.Errorf("process group %s, ours is %d", got, syscall.Getpgrp())
	}
}

func TestBackgroundProgramHoldingTheOutputDoesNotFailTheCommand(t *testing.T) {
	var log bytes.Buffer
	l := Local{Log: slog.New(slog.NewTextHandler(&log, nil)), grace: 100 * time.Millisecond}
	out, err := Output(t.Context(), l, sh("sleep 3 & echo done"))
	if err != nil || string(out) != "done\n" || !strings.Contains(log.String(), "held open") {
		t.Errorf("got %q, %v, log %q", out, err, log.String())
	}
}

func TestJSONChecksTheExitStatusBeforeTheDocument(t *testing.T) {
	type doc struct {
		A int `json:"a"`
	}
	for _, tt := range []struct{ name, script, wantErr string }{
		{"good", `echo '{"a":1}'`, ""},
		{"half a document and a failure", `printf '{"a":1'; echo 'error: boom' >&2; exit 1`, "exit status 1: boom"},
		{"whole document and a failure", `echo '{"a":1}'; exit 1`, "exit status 1"},
		{"half a document", `printf '{"a":1'`, "read JSON: unexpected EOF"},
		{"two documents", `echo '{"a":1} {"a":2}'`, "more than one value"},
		{"rubbish after it", `echo '{"a":1} ]'`, "more than one value"},
		{"bytes that are no text", `printf '{"b":"x\377"}'`, "invalid UTF-8 at byte 7"},
		{"nothing", `:`, "EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := JSON[doc](t.Context(), Local{}, sh(tt.script))
			if tt.wantErr == "" {
				if err != nil || got.A != 1 {
					t.Errorf("got %+v, %v", got, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("got %v, want %q in it", err, tt.wantErr)
			}
		})
	}
}

func TestJSONKeepsLargeNumbersExact(t *testing.T) {
	got, err := JSON[map[string]any](t.Context(), Local{}, sh(`echo '{"n":9007199254740993}'`))
	if err != nil || fmt.Sprint(got["n"]) != "9007199254740993" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestPrinterPrintsALineThatTheShellRunsAsTheCommand(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's a folder")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	c := sh(`printf '%s|' "$PWD" "$V" "$@"`, "a b", "$HOME", "", "*", "x'y")
	c.Dir, c.Env = dir, []string{`V=v "1"`}
	want, err := Output(t.Context(), Local{}, c)
	if err != nil {
		t.Fatal(err)
	}
	var line bytes.Buffer
	if err := (Printer{&line}).Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	got, err := exec.Command("sh", "-c", line.String()).Output()
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("printed %s\ngives %q, %v\nwant %q", line.String(), got, err, want)
	}
}

func TestPrinterReportsAWriterThatFails(t *testing.T) {
	broken := errors.New("disk full")
	err := Printer{writerFunc(func([]byte) (int, error) { return 0, broken })}.Run(t.Context(), sh("true"))
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func waitFor(ok func() bool) bool {
	for range 100 {
		if ok() {
			return true
		}
		time.Sleep(30 * time.Millisecond)
	}
	return false
}

// gone counts a zombie as gone: where nothing reaps orphans (a container's first program) it stays listed.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || bytes.Contains(stat, []byte(") Z "))
}
