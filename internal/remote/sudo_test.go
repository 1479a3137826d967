package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/hosts"
)

// sudoLab are hosts on which becoming root differs, and how the controller reaches them.
func sudoLab(t *testing.T) (*hosts.Lab, *Access) {
	t.Helper()
	dir := t.TempDir()
	const quick = hosts.Bookworm
	lab := hosts.Up(t, hosts.Net{Share: []string{dir}, Hosts: []hosts.Spec{
		{Name: "asks", Suite: quick},
		{Name: "newer", Suite: hosts.Trixie},
		{Name: "free", Suite: quick, NoPassword: true},
		{Name: "root", Suite: quick, RootLogin: true},
		{Name: "odd", Suite: quick},
		{Name: "odder", Suite: quick},
	}})
	var targets []Target
	for _, h := range lab.Hosts {
		target := Target{Name: h.Name, Address: h.Addr.String(), User: hosts.Admin, HostKeys: []string{h.HostKey()}}
		if h.Name == "root" {
			target.User = "root"
		}
		targets = append(targets, target)
	}
	a, err := Open(lab.Controller, targets, Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return lab, a
}

func knows(password string) Sudo {
	return Sudo{Password: func(context.Context) (string, error) { return password, nil }}
}

func wantSudo(t *testing.T, err error, reason SudoReason) {
	t.Helper()
	if e, ok := errors.AsType[*SudoError](err); !ok || e.Reason != reason || e.Hint() == "" {
		t.Errorf("%v, want %s", err, reason)
	}
}

func TestCommandsRunAsRoot(t *testing.T) {
	t.Parallel()
	lab, a := sudoLab(t)
	for _, host := range []string{"asks", "newer", "free", "root"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			s := knows(hosts.AdminPassword)
			if host == "root" {
				s.Mode = SudoRoot
			}
			rootDoesWhatAUserDoes(t, a.Elevated(host, s))
		})
	}
	t.Run("probe", func(t *testing.T) {
		for host, want := range map[string]string{"asks": SudoPassword, "newer": SudoPassword, "free": SudoFree, "root": SudoRoot} {
			if mode, err := a.ProbeSudo(t.Context(), host); mode != want || err != nil {
				t.Errorf("%s: %s, %v", host, mode, err)
			}
		}
	})
	t.Run("passwords", func(t *testing.T) { passwordsArriveWhole(t, a, lab.Host(t, "odd")) })
	t.Run("refused", func(t *testing.T) { whatSudoRefuses(t, a, lab.Host(t, "odder")) })
	t.Run("once", func(t *testing.T) { oneWrongPasswordIsTriedOnce(t, a, lab) })
}

// rootDoesWhatAUserDoes is what a Runner promises.
func rootDoesWhatAUserDoes(t *testing.T, r run.Runner) {
	t.Helper()
	secretless := "first\x00line\nsecond \xff line, no end"
	var errOut bytes.Buffer
	out, err := run.Output(t.Context(), r, run.Command{
		Name: "sh", Args: []string{"-c", `id -u; pwd; printf '%s|' "$@" "$X" "$HOME" "${LC_ALL-unset}"; echo >&2 "to stderr"; cat`, "sh", "a b", "", `it's "$x"`, "ä\n"},
		Dir: "/var/lib", Env: []string{"X=1 2"}, Stdin: strings.NewReader(secretless), Stderr: &errOut,
	})
	if want := "0\n/var/lib\na b||it's \"$x\"|ä\n|1 2|/root|unset|" + secretless; err != nil || string(out) != want || errOut.String() != "to stderr\n" {
		t.Errorf("%q and %q, %v", out, errOut.String(), err)
	}
	if err := r.Run(t.Context(), sh("echo because >&2; exit 255")); exitOf(err) != 255 || strings.TrimSpace(string(stderrOf(err))) != "because" {
		t.Errorf("%v: %q", err, stderrOf(err))
	}
	if err := r.Run(t.Context(), run.Command{Name: "true", Dir: "/no/such"}); err == nil || !strings.Contains(err.Error(), "no folder /no/such") {
		t.Errorf("%v", err)
	}
	if _, ok := errors.AsType[*run.MissingError](r.Run(t.Context(), run.Command{Name: "no-such-program"})); !ok {
		t.Error("a missing program is not told as one")
	}
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	if out, err := run.Output(t.Context(), r, run.Command{Name: "cat", Stdin: bytes.NewReader(big)}); err != nil || !bytes.Equal(out, big) {
		t.Errorf("%d bytes of %d, %v", len(out), len(big), err)
	}
	if err := r.Run(t.Context(), run.Command{Name: "true", Stdin: bytes.NewReader(big)}); err != nil {
		t.Errorf("input that nobody reads: %v", err)
	}
}

func exitOf(err error) int {
	if e, ok := errors.AsType[*run.Error](err); ok {
		return e.ExitCode
	}
	return -2
}

func stderrOf(err error) []byte {
	if e, ok := errors.AsType[*run.Error](err); ok {
		return e.Stderr
	}
	return nil
}

func passwordsArriveWhole(t *testing.T, a *Access, h *hosts.Host) {
	t.Helper()
	for _, word := range []string{"päss wörd 🔑", " blanks ", `'"$(id)\`, "-n", "%p%u", strings.Repeat("x", 200)} {
		h.Sh(t, "chpasswd <<'E'\n"+hosts.Admin+":"+word+"\nE")
		out, err := run.Output(t.Context(), a.Elevated(h.Name, knows(word)), sh("id -u; cat"))
		if err != nil || string(out) != "0\n" {
			t.Errorf("%q: %q, %v", word, out, err)
		}
	}
	for _, word := range []string{"", "two\nlines", strings.Repeat("x", 300)} {
		if err := a.Elevated(h.Name, knows(word)).Run(t.Context(), sh("true")); err == nil || !strings.Contains(err.Error(), "password for sudo") {
			t.Errorf("%q: %v", word, err)
		}
	}
}

func whatSudoRefuses(t *testing.T, a *Access, h *hosts.Host) {
	t.Helper()
	as := func(s Sudo) error {
		return a.Elevated(h.Name, s).Run(t.Context(), run.Command{Name: "touch", Args: []string{"/was-here"}, Stdin: strings.NewReader(hosts.AdminPassword + "\n")})
	}
	wantSudo(t, as(knows("wrong")), SudoWrongPassword)
	if err := as(Sudo{}); err == nil || !strings.Contains(err.Error(), "there is none") {
		t.Errorf("no password: %v", err)
	}
	wantSudo(t, as(Sudo{Mode: SudoFree}), SudoAsks)
	asked := errors.New("nobody answers")
	if err := as(Sudo{Password: func(context.Context) (string, error) { return "", asked }}); !errors.Is(err, asked) {
		t.Errorf("%v", err)
	}
	h.WriteFile(t, "/etc/sudoers.d/lecture", "Defaults lecture=always, insults\nDefaults passwd_tries=1\n", 0o440)
	if err := as(knows("wrong")); err == nil {
		t.Error("a wrong password did")
	} else {
		wantSudo(t, err, SudoWrongPassword)
	}
	if h.Exists(t, "/was-here") {
		t.Fatal("it ran nevertheless")
	}
	if err := as(knows(hosts.AdminPassword)); err != nil || !h.Exists(t, "/was-here") {
		t.Errorf("behind a lecture: %v", err)
	}
	h.WriteFile(t, "/etc/sudoers.d/lecture", "Defaults requiretty\n", 0o440)
	wantSudo(t, as(knows(hosts.AdminPassword)), SudoNeedsTerminal)
	if _, err := a.ProbeSudo(t.Context(), h.Name); err == nil {
		t.Error("a probe finds nothing wrong with requiretty")
	} else {
		wantSudo(t, err, SudoNeedsTerminal)
	}
	h.Sh(t, "rm /etc/sudoers.d/lecture; gpasswd -d admin wheel")
	wantSudo(t, as(knows(hosts.AdminPassword)), SudoForbidden)
	h.Sh(t, "gpasswd -a admin wheel; mv /usr/bin/sudo /usr/bin/sudo.away")
	wantSudo(t, as(knows(hosts.AdminPassword)), SudoMissing)
	h.Sh(t, "mv /usr/bin/sudo.away /usr/bin/sudo")
}

func oneWrongPasswordIsTriedOnce(t *testing.T, a *Access, lab *hosts.Lab) {
	t.Helper()
	for _, name := range []string{"asks", "newer"} {
		lab.Host(t, name).Sh(t, "rm -rf /run/sudo/ts /var/lib/sudo/ts") // what sudo remembers
	}
	for _, word := range []string{"wrong", hosts.AdminPassword} {
		var asked atomic.Int32
		p := NewOnePassword(func(context.Context) (string, error) {
			asked.Add(1)
			return word, nil
		})
		var all sync.WaitGroup
		errs := make([]error, 4)
		for i, host := range []string{"asks", "newer", "asks", "newer"} {
			all.Go(func() { errs[i] = a.Elevated(host, p.For(host)).Run(t.Context(), sh("true")) })
		}
		all.Wait()
		wrong, untried := 0, 0
		for _, err := range errs {
			if e, ok := errors.AsType[*SudoError](err); ok {
				switch e.Reason {
				case SudoWrongPassword:
					wrong++
				case SudoNotTried:
					untried++
				}
			}
		}
		if asked.Load() != 1 {
			t.Errorf("%q: asked %d times", word, asked.Load())
		}
		if word == "wrong" && (wrong != 1 || untried != 3) || word != "wrong" && errors.Join(errs...) != nil {
			t.Errorf("%q: %v", word, errs)
		}
	}
}

// The password's way is one line on stdin, whatever sudo does.
func TestThePasswordIsNowhereElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lab := hosts.Up(t, hosts.Net{Share: []string{dir}, Hosts: []hosts.Spec{{Name: "h", Suite: hosts.Bookworm}}})
	h := lab.Host(t, "h")
	const word = "Zaubername-4711"
	h.Sh(t, "echo "+hosts.Admin+":"+word+" | chpasswd")
	h.WriteFile(t, "/etc/sudoers.d/cache", "Defaults !tty_tickets, timestamp_type=global\n", 0o440)
	a, err := Open(lab.Controller, []Target{{Name: "h", Address: h.Addr.String(), User: hosts.Admin, HostKeys: []string{h.HostKey()}}}, Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	given := 0
	s := Sudo{Password: func(context.Context) (string, error) { given++; return word, nil }}
	look := `cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\0' '\n' | grep -c '[Z]aubername' | grep -v '^0$'; cat`
	for i := range 3 { // the second and third time sudo remembers
		out, err := run.Output(t.Context(), a.Elevated("h", s), run.Command{Name: "sh", Args: []string{"-c", look}, Stdin: strings.NewReader(fmt.Sprint("key", i))})
		if err != nil || string(out) != fmt.Sprint("key", i) {
			t.Errorf("%d: %q, %v", i, out, err)
		}
	}
	if given != 1 {
		t.Errorf("the password was asked for %d times: sudo should have remembered it", given)
	}
	if out, _ := lab.Controller.Try(t, "grep -rl [Z]aubername /tmp /root /run /var 2>/dev/null"); out != "" {
		t.Error("on the deployer:", out)
	}
	if out, _ := h.Try(t, "grep -rIl [Z]aubername /tmp /root /home /run /var /etc 2>/dev/null"); out != "" {
		t.Error("on the host:", out)
	}
}

func TestAGateFindsItsWordsHoweverTheyArrive(t *testing.T) {
	t.Parallel()
	text := "lecture\nPROMPTsorry\nMARKout PROMPT MARK err"
	for cut := range len(text) {
		var passed bytes.Buffer
		g, err := newGate(knows("pw"), nil, &passed)
		if err != nil {
			t.Fatal(err)
		}
		g.prompt, g.mark, g.quiet = []byte("PROMPT"), []byte("MARK"), true
		var got []byte
		err = g.run(t.Context(), func(stdin *os.File, stderr io.Writer) error {
			_, _ = io.WriteString(stderr, text[:cut])
			_, _ = io.WriteString(stderr, text[cut:])
			got = make([]byte, len("pw\nMARK\n"))
			_, err := io.ReadFull(stdin, got)
			return err
		})
		if err != nil || passed.String() != "out PROMPT  err" && passed.String() != "out   err" {
			t.Fatalf("cut at %d: passed %q, %v", cut, passed.String(), err)
		}
		if !strings.Contains(string(got), "pw\n") || !strings.Contains(string(got), "MARK\n") {
			t.Fatalf("cut at %d: sent %q", cut, got)
		}
		if string(g.said) != "lecture\nsorry\n" {
			t.Fatalf("cut at %d: said %q", cut, g.said)
		}
	}
}
