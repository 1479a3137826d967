package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/need"
	"nixos-staged-hive/internal/testbed/sshd"
)

func TestArgumentsArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	_, a := host(t)
	words := []string{"", "a b", "it's", `"`, `\`, `\\`, `\'`, "$HOME", "`id`", "*", "~", "-n", "--", "", "A=b", "line\nline\n", "\t", "日本", "\xff", "!x", "#", "{a,b}", ""}
	out, err := run.Output(t.Context(), a.Runner("web1"), run.Command{Name: "printf", Args: append([]string{`%s\0`}, words...)})
	if want := strings.Join(words, "\x00") + "\x00"; err != nil || string(out) != want {
		t.Errorf("got %q, want %q, %v", out, want, err)
	}
}

func TestStreamsFolderAndEnvironment(t *testing.T) {
	t.Parallel()
	_, a := host(t)
	dir := filepath.Join(t.TempDir(), "it's a folder")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	c := sh(`pwd; echo "$V"; cat; printf 'no line end' >&2`)
	c.Dir, c.Env, c.Stdin, c.Stderr = dir, []string{"V=first", `V=$x "y" \`}, strings.NewReader("input\n"), &errs
	out, err := run.Output(t.Context(), a.Runner("web1"), c)
	if want := dir + "\n" + `$x "y" \` + "\ninput\n"; err != nil || string(out) != want || errs.String() != "no line end" {
		t.Errorf("got %q and %q, %v", out, errs.String(), err)
	}
	c = sh("cat; wc -c")
	if out, err := run.Output(t.Context(), a.Runner("web1"), c); err != nil || strings.TrimSpace(string(out)) != "0" {
		t.Errorf("without an input: %q, %v", out, err)
	}
}

func TestOutputComesAsItIsWritten(t *testing.T) {
	t.Parallel()
	_, a := host(t)
	go1 := filepath.Join(t.TempDir(), "go")
	c := sh(`echo first; while [ ! -e "$1" ]; do sleep 0.02; done; echo second`, go1)
	var all bytes.Buffer
	c.Stdout = writerFunc(func(p []byte) (int, error) {
		if all.Len() == 0 {
			_ = os.WriteFile(go1, nil, 0o600) // the command waits for it
		}
		return all.Write(p)
	})
	if err := a.Runner("web1").Run(t.Context(), c); err != nil || all.String() != "first\nsecond\n" {
		t.Errorf("got %q, %v", all.String(), err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestExitCodesAreTheProgramsOwn(t *testing.T) {
	t.Parallel()
	_, a := host(t)
	for _, code := range []int{1, 4, 100, 126, 127, 254, 255} {
		err := a.Runner("web1").Run(t.Context(), sh(fmt.Sprintf("echo 'Connection refused: why' >&2; exit %d", code)))
		e, ok := errors.AsType[*run.Error](err)
		if !ok || e.ExitCode != code || string(e.Stderr) != "Connection refused: why\n" {
			t.Errorf("%d: got %v", code, err)
			continue
		}
		if _, lost := errors.AsType[*ConnectionError](err); lost {
			t.Errorf("%d is taken for a problem of the connection", code)
		}
		if want := fmt.Sprintf("sh: exit status %d on web1: Connection refused: why", code); err.Error() != want {
			t.Errorf("text %q, want %q", err, want)
		}
	}
	err := a.Runner("web1").Run(t.Context(), sh("kill -KILL $$"))
	if e, ok := errors.AsType[*run.Error](err); !ok || e.ExitCode != 137 {
		t.Errorf("killed: %v", err)
	}
}

func TestWhatIsMissingOnTheHostIsTyped(t *testing.T) {
	t.Parallel()
	_, a := host(t)
	for _, name := range []string{"no-such-program", "/no/such/program", "-x", "--"} {
		err := a.Runner("web1").Run(t.Context(), run.Command{Name: name})
		if m, ok := errors.AsType[*run.MissingError](err); !ok || m.Program != name || !strings.Contains(m.Hint, "web1") {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := sh("true")
	c.Dir = "/no/such/folder"
	err := a.Runner("web1").Run(t.Context(), c)
	if e, ok := errors.AsType[*run.Error](err); !ok || e.ExitCode != -1 || !strings.Contains(err.Error(), "no folder /no/such/folder on web1") {
		t.Errorf("folder: %v", err)
	}
	if err := a.Runner("web2").Run(t.Context(), c); !errors.Is(err, ErrNoTarget) {
		t.Errorf("an unknown target: %v", err)
	}
	for _, c := range []run.Command{{Name: "true", Env: []string{"a b=c"}}, {Name: "true", Args: []string{"\x00"}}} {
		if err := a.Runner("web1").Run(t.Context(), c); err == nil {
			t.Errorf("%+v was run", c)
		}
	}
}

func TestWithoutSSHThatIsSaid(t *testing.T) {
	a := open(t, Options{}, Target{Name: "web1", FirstContact: Ignore})
	t.Setenv("PATH", t.TempDir())
	err := a.Runner("web1").Run(t.Context(), sh("true"))
	if m, ok := errors.AsType[*run.MissingError](err); !ok || m.Program != "ssh" || m.Hint == "" {
		t.Errorf("got %v", err)
	}
}

func TestSecretsAreHiddenInTheirQuotedFormToo(t *testing.T) {
	t.Parallel()
	s := sshd.Start(t, sshd.Options{})
	var text bytes.Buffer
	local := run.Local{Log: slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	need.Program(t, "ssh")
	a, err := Open(local, []Target{target(s)}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	for _, secret := range []string{"hunter'2hunter", `hunter\hunter`, `hunter'\hunter`} {
		c := sh(`echo "$1" >&2; exit 1`, secret)
		c.Env, c.Secret = []string{"TOKEN=" + secret}, []string{secret}
		err = a.Runner("web1").Run(t.Context(), c)
		e, ok := errors.AsType[*run.Error](err)
		if !ok || string(e.Stderr) != "[secret]\n" {
			t.Errorf("stderr %v", err)
		}
		if shown := text.String() + err.Error(); strings.Contains(shown, "hunter") {
			t.Errorf("%q is shown: %s", secret, shown)
		}
		text.Reset()
	}
}

// running starts a command on the host that goes on for ever, and gives the id of a process it has started.
func running(ctx context.Context, t *testing.T, a *Access) (pid int, ended <-chan error) {
	t.Helper()
	c := sh(`sleep 1000 & echo $! >&2; wait`)
	said, done := make(chan string, 1), make(chan error, 1)
	var line strings.Builder
	c.Stderr = writerFunc(func(p []byte) (int, error) {
		line.Write(p)
		if strings.HasSuffix(line.String(), "\n") {
			said <- line.String()
			line.Reset()
		}
		return len(p), nil
	})
	go func() { done <- a.Runner("web1").Run(ctx, c) }()
	select {
	case err := <-done:
		t.Fatalf("the command has not started: %v", err)
	case text := <-said:
		var err error
		if pid, err = strconv.Atoi(strings.TrimSpace(text)); err != nil {
			t.Fatal(err)
		}
	}
	return pid, done
}

func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || bytes.Contains(stat, []byte(") Z "))
}

func TestTheEndOfTheContextHangsUp(t *testing.T) {
	t.Parallel()
	_, a := host(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	pid, ended := running(ctx, t, a)
	enough := errors.New("enough")
	cancel(enough)
	if err := <-ended; !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
	if !waitFor(func() bool { return gone(pid) }) {
		t.Error("what the command started still runs")
	}
}

func TestALostConnectionIsToldAndHangsUp(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*sshd.Server, *sshd.Cable){
		"sshd killed": func(s *sshd.Server, _ *sshd.Cable) { s.Cut() },
		"reset":       func(_ *sshd.Server, c *sshd.Cable) { c.Drop() },
		"silence":     func(_ *sshd.Server, c *sshd.Cable) { c.Stall() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sshd.Start(t, sshd.Options{Config: []string{"ClientAliveInterval 1", "ClientAliveCountMax 2"}})
			cable := sshd.NewCable(t, s.Address, s.Port)
			to := target(s)
			to.Port = cable.Port
			a := open(t, impatient(), to)
			pid, ended := running(t.Context(), t, a)
			lose(s, cable)
			err := <-ended
			e, ok := errors.AsType[*ConnectionError](err)
			if !ok || e.Reason != Lost || !e.Started || e.Hint() == "" {
				t.Errorf("got %v", err)
			}
			if e, ok := errors.AsType[*run.Error](err); !ok || e.ExitCode != -1 {
				t.Errorf("the run.Error within: %v", e)
			}
			if !waitFor(func() bool { return gone(pid) }) {
				t.Error("what the command started still runs")
			}
		})
	}
}

func TestWhatIsDetachedGoesOn(t *testing.T) {
	t.Parallel()
	_, a := host(t)
	file := filepath.Join(t.TempDir(), "pid")
	c := sh(`setsid sleep 1000 >/dev/null 2>&1 </dev/null & echo $! >"$1"`, file)
	if err := a.Runner("web1").Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || gone(pid) {
		t.Errorf("process %d, %v", pid, err)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

func TestAnInteractiveCommandHasATerminal(t *testing.T) {
	t.Parallel()
	need.Root(t) // any other sshd may not give a terminal to its user (OpenSSH 9.2)
	_, a := host(t)
	ours, theirs, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = ours.Close(), theirs.Close() }()
	var out bytes.Buffer
	c := sh("tty >/dev/null && echo terminal; exit 5")
	c.Interactive, c.Stdin, c.Stdout, c.Stderr = true, theirs, &out, &out
	err = a.Runner("web1").Run(t.Context(), c)
	if e, ok := errors.AsType[*run.Error](err); !ok || e.ExitCode != 5 || strings.TrimSpace(out.String()) != "terminal" {
		t.Errorf("got %q, %v", out.String(), err)
	}
}

func TestMarksAreFoundWhereverTheStreamIsCut(t *testing.T) {
	t.Parallel()
	const token = "abcabd"
	stream := "banner abc" + token + "abcab" + token + "abc"
	for size := 1; size <= len(stream); size++ {
		var out bytes.Buffer
		m := &marks{token: []byte(token), to: &out}
		for rest := stream; rest != ""; {
			n := min(size, len(rest))
			if _, err := m.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := m.flush(); err != nil || out.String() != "abcababc" || m.seen != 2 {
			t.Errorf("in pieces of %d: %q, %d marks, %v", size, out.String(), m.seen, err)
		}
	}
}

// FuzzQuote sends two words through each shell that is here; /bin/sh always is.
func FuzzQuote(f *testing.F) {
	for _, seed := range [][2]string{{"", ""}, {`\`, `'`}, {`\'`, `'\''`}, {"a\nb", "$x"}, {"~", "=x"}, {"!", "#"}, {`\\`, "日本"}, {"\xff", "-"}} {
		f.Add(seed[0], seed[1])
	}
	var shells []string
	for _, s := range []string{"sh", "bash", "zsh", "fish", "busybox"} {
		if path, err := exec.LookPath(s); err == nil {
			shells = append(shells, path)
		}
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if strings.ContainsRune(a+b, 0) {
			return
		}
		for _, shell := range shells {
			args := []string{"-c", "printf '%s\\0' " + quote("word", a, b)}
			if strings.HasSuffix(shell, "busybox") {
				args = append([]string{"sh"}, args...)
			}
			out, err := exec.Command(shell, args...).Output()
			if want := "word\x00" + a + "\x00" + b + "\x00"; err != nil || string(out) != want {
				t.Errorf("%s: got %q, want %q, %v", shell, out, want, err)
			}
		}
	})
}

func TestManyCommandsSideBySide(t *testing.T) {
	t.Parallel()
	_, a := host(t)
	results := make(chan error, 8)
	for i := range cap(results) {
		go func() {
			out, err := run.Output(t.Context(), a.Runner("web1"), sh("sleep 0.1; echo $1", strconv.Itoa(i)))
			if err == nil && strings.TrimSpace(string(out)) != strconv.Itoa(i) {
				err = fmt.Errorf("%d got %q", i, out)
			}
			results <- err
		}()
	}
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}
