package console

import (
	"context"
	"errors"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/ui"
)

// screen is a terminal of 80 columns and 25 rows with a person before it. It knows what ui.Screen sends.
type screen struct {
	t               *testing.T
	person, program *os.File

	mu   sync.Mutex
	rows [25]string
	row  int
	rest string
}

func openScreen(t *testing.T) *screen {
	t.Helper()
	person, program, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(person, &pty.Winsize{Rows: 25, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	s := &screen{t: t, person: person, program: program}
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = io.Copy(s, person) // ends with an error when the program's end is closed
	}()
	t.Cleanup(func() {
		_ = program.Close()
		<-over
		_ = person.Close()
	})
	return s
}

var sequence = regexp.MustCompile(`^\x1b\[([?0-9;]*)([A-Za-z])`)

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest += string(b)
	for s.rest != "" {
		if s.rest[0] != 0x1b {
			text, after := s.rest, ""
			if i := strings.IndexByte(s.rest, 0x1b); i >= 0 {
				text, after = s.rest[:i], s.rest[i:]
			}
			s.rows[s.row] += text
			s.rest = after
			continue
		}
		found := sequence.FindStringSubmatch(s.rest)
		if found == nil {
			break // the rest of it comes
		}
		s.rest = s.rest[len(found[0]):]
		s.obey(found[1], found[2])
	}
	return len(b), nil
}

func (s *screen) obey(argument, command string) {
	switch command {
	case "H":
		row, _, _ := strings.Cut(argument, ";")
		n, _ := strconv.Atoi(row)
		s.row = max(n-1, 0)
	case "J":
		s.rows = [25]string{}
	case "K":
		s.rows[s.row] = ""
	}
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.rows[:], "\n")
}

// shows waits until all of the texts are on the screen at once, wrapped or not.
func (s *screen) shows(texts ...string) {
	s.t.Helper()
	for range 3000 {
		got := s.text()
		if !slices.ContainsFunc(texts, func(want string) bool { return !strings.Contains(got, want) }) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("never on the screen: %q; last:\n%s", texts, s.text())
}

func (s *screen) types(keys string) {
	s.t.Helper()
	if _, err := s.person.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

// medium is what the screens are of: it keeps what it was told to do.
type medium struct {
	mu        sync.Mutex
	state     State
	intent    hive.Intent
	did       []string
	confirmed []string
	events    []hive.SetupEvent
}

func (m *medium) now() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.state
	s.Hosts = slices.Clone(s.Hosts)
	return s
}

func (m *medium) change(f func(*State)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.state)
}

func (m *medium) note(what string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.did = append(m.did, what)
	return nil
}

func (m *medium) done() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.did)
}

// happens adds an event of the run that goes on.
func (m *medium) happens(e hive.SetupEvent) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e.Number, e.Time = len(m.events)+1, time.Now()
	m.events = append(m.events, e)
	if e.State == "finished" {
		m.state.Running, m.state.After = false, e.Number
	}
}

func (m *medium) after(n int) []hive.SetupEvent {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.events[n:])
}

func (m *medium) follow(ctx context.Context, after int, each func(hive.SetupEvent)) error {
	for ctx.Err() == nil {
		for _, e := range m.after(after) {
			after = e.Number
			each(e)
			if e.State == "finished" {
				return nil
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	return ctx.Err()
}

func (m *medium) actions(program *os.File) Actions {
	do := func(what string) func(context.Context) error {
		return func(context.Context) error { return m.note(what) }
	}
	return Actions{
		State: func(context.Context) State { return m.now() },
		Intent: func(_ context.Context, host string, mode hive.Mode) (hive.Intent, error) {
			in := m.intent
			in.Host, in.Mode = host, mode
			if mode == hive.Keep {
				in.Targets, in.Confirm = nil, nil
			}
			if mode == hive.Add {
				return in, errors.New("lsblk: not found")
			}
			return in, nil
		},
		Start: func(_ context.Context, in hive.Intent, confirmed []string) error {
			m.change(func(s *State) {
				s.Running, s.Task = true, in.Host+", "+string(in.Mode)
				m.confirmed = confirmed
			})
			return m.note("start " + in.Host + " " + string(in.Mode))
		},
		Follow: m.follow,
		Stop: func(context.Context) error {
			m.change(func(s *State) { s.Countdown = nil })
			return m.note("stop")
		},
		Unlock: func(_ context.Context, passphrase string) error {
			if passphrase != "correct horse" {
				return errors.New("that passphrase does not fit")
			}
			m.change(func(s *State) {
				for i := range s.Hosts {
					s.Hosts[i].Sealed = false
				}
			})
			return nil
		},
		Disks: func(context.Context) (string, error) { return strings.Repeat("a disk\n", 40) + "the last disk\n", nil },
		Log:   func(context.Context) (string, error) { return strings.Repeat("a line\n", 40) + "the last line\n", nil },
		Undo:  func(context.Context) (string, error) { return "", errors.New("there is no undo kit yet") },
		Shell: func(context.Context) error {
			_, err := program.WriteString("\x1b[Ha shell")
			return errors.Join(err, m.note("shell"))
		},
		Reboot: do("reboot"), PowerOff: do("off"),
	}
}

// begin runs the screens until the test ends or the person leaves.
func begin(t *testing.T, m *medium) (*screen, <-chan error) {
	t.Helper()
	s := openScreen(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	streams := ui.New(s.program, s.program, s.program, []string{"TERM=linux"})
	var running sync.WaitGroup
	running.Go(func() { ended <- Run(ctx, streams, m.actions(s.program)) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return s, ended
}

func expect(t *testing.T, m *medium, want ...string) {
	t.Helper()
	for range 3000 {
		if slices.Equal(m.done(), want) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("did %v, want %v", m.done(), want)
}

func TestAPersonInstallsAHost(t *testing.T) {
	m := &medium{state: several(), intent: fresh()}
	s, ended := begin(t, m)
	s.shows("installation medium", "sealed: the hosts' keys", "Enter install")

	s.types("\r")
	s.shows("Which host", "> web1")
	s.types("nas\r")
	s.shows("Unlock the secrets", "not shown")
	s.types("wrong\r")
	s.shows("that passphrase does not fit; tries left: 2")
	if strings.Contains(s.text(), "wrong") {
		t.Error("the passphrase is on the screen")
	}
	s.types("correct horse\r")
	s.shows("How is nas to be installed?", "> fresh", "destroy what is on its disks", "keep all data")
	s.types("\r")
	s.shows("Install nas, fresh", "EVERYTHING ON THIS WILL BE DESTROYED", "S649NX0R123456T")
	s.types("\r")
	s.shows("The last question", "/dev/nvme0n1", "or the last 4")
	s.types("3456\r")
	s.shows("that is not it; tries left: 2")
	s.types("456x\x7fT\r")
	s.shows("/dev/vda", "type its name: vda")
	expect(t, m)
	s.types("vda\r")
	expect(t, m, "start nas fresh")
	if want := []string{"S649NX0R123456T", "vda"}; !slices.Equal(m.confirmed, want) {
		t.Errorf("confirmed %v, want %v", m.confirmed, want)
	}

	m.happens(hive.SetupEvent{Phase: "identify", State: "started"})
	m.happens(hive.SetupEvent{Phase: "identify", State: "done", Text: "nas, chosen"})
	m.happens(hive.SetupEvent{Phase: "copy", State: "started"})
	m.happens(hive.SetupEvent{Phase: "copy", State: "running", Done: 3, Total: 4, Text: "glibc"})
	s.shows("Installing nas, fresh", "+ identify", "nas, chosen", "> copy", "75%", "glibc")
	s.types("l")
	s.shows("the last line", "Esc back")
	s.types("\x1b")
	s.shows("75%")
	m.happens(hive.SetupEvent{Phase: "copy", State: "done"})
	m.happens(hive.SetupEvent{Phase: "copy", State: "finished", Text: "nas starts now"})
	s.shows("It is installed.", "nas starts now", "r reboot", "Esc main screen")
	s.types("r")
	s.shows("Reboot this machine?")
	s.types("n")
	s.shows("It is installed.")
	s.types("ry")
	s.shows("It will be a moment")
	expect(t, m, "start nas fresh", "reboot")
	s.types("x\x1b")
	s.shows("Enter install")
	s.types("q")
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestNothingIsBegunWithoutConsent(t *testing.T) {
	m := &medium{state: single(), intent: fresh()}
	s, _ := begin(t, m)
	toQuestion := func() {
		t.Helper()
		s.shows("Enter install")
		s.types("\r")
		s.shows("How is web1")
		s.types("\r")
		s.shows("EVERYTHING ON THIS")
		s.types("\r")
		s.shows("The last question")
	}
	toQuestion()
	for _, left := range []string{"2", "1"} {
		s.types("yes\r")
		s.shows("tries left: " + left)
	}
	s.types("\rno\r")
	toQuestion()
	s.types("456T\x1b")
	toQuestion()
	s.types("456T\r") // the first disk of two
	s.shows("type its name: vda")
	s.types("\x03")
	s.shows("Enter install")

	// keep destroys nothing, and wants a yes all the same
	s.types("i")
	s.shows("How is web1")
	s.types("keep\r")
	s.shows("Install web1, keep")
	s.types("\r")
	s.shows("No data is destroyed. Type yes")
	s.types("\ry\r")
	s.shows("that is not yes")
	expect(t, m)
	s.types("Yes\r")
	expect(t, m, "start web1 keep")
}

func TestWhatForbidsAnInstallationIsShownAndEndsIt(t *testing.T) {
	m := &medium{state: single(), intent: refused()}
	s, _ := begin(t, m)
	s.shows("Enter install")
	s.types("\r")
	s.shows("How is web1")
	s.types("\r")
	s.shows("web1 cannot be installed (fresh)", "hive.partitioning.disks.main.serial", "Esc back")
	s.types("\r\r\x1b")
	s.shows("Enter install")
	s.types("\r")
	s.shows("How is web1")
	s.types("add\r")
	s.shows("web1 cannot be installed", "lsblk: not found")
	expect(t, m)
}

func TestALongIntentIsReadToItsEnd(t *testing.T) {
	in := fresh()
	for range 30 {
		in.Targets[0].Contents = append(in.Targets[0].Contents, "one more partition")
	}
	m := &medium{state: single(), intent: in}
	s, _ := begin(t, m)
	s.shows("Enter install")
	s.types("\r")
	s.shows("How is web1")
	s.types("\r")
	s.shows("EVERYTHING ON THIS", "Enter the rest")
	s.types("\r")
	s.shows("one more partition", "Enter the rest")
	s.types("\r")
	s.shows("2 GiB of memory", "Enter go on")
	s.types("\r")
	s.shows("The last question", "type its serial number", "> _")
}

func TestSomebodyElsesInstallationIsFollowed(t *testing.T) {
	m := &medium{state: single(), intent: fresh()}
	s, _ := begin(t, m)
	s.shows("Enter install")
	s.types("\r")
	s.shows("How is web1")
	m.change(func(s *State) { s.Running, s.Task = true, "web1, keep" })
	m.happens(hive.SetupEvent{Phase: "release", State: "started"})
	s.shows("Installing web1, keep", "> release")
	m.happens(hive.SetupEvent{Phase: "release", State: "failed", Error: "/dev/sda: busy"})
	m.happens(hive.SetupEvent{Phase: "release", State: "finished", Error: "/dev/sda: busy", Way: "unmount /data", Code: 1})
	s.shows("x release", "/dev/sda: busy", "unmount /data", "install again")
	s.types("\x1b")
	s.shows("Enter install")

	// one that was over before anybody looked
	m.change(func(s *State) { s.Task = "web1, fresh" })
	m.happens(hive.SetupEvent{Phase: "identify", State: "started"})
	m.happens(hive.SetupEvent{Phase: "identify", State: "finished", Error: "no disk main", Code: 4})
	s.shows("no disk main", "Nothing was changed.")
	s.types("\x1b")
	s.shows("Enter install")
}

func TestAnUnattendedInstallationCanBeStopped(t *testing.T) {
	state := single()
	state.Countdown = &Countdown{Host: "web1", Begin: time.Now().Add(time.Hour), What: []string{"main: /dev/vda is formatted"}}
	m := &medium{state: state}
	s, _ := begin(t, m)
	s.shows("web1 will be installed in", "main: /dev/vda is formatted", "Any key stops it")
	s.types("x")
	expect(t, m, "stop")
	s.shows("Enter install")
}

func TestTextsAndTheShell(t *testing.T) {
	m := &medium{state: single()}
	s, _ := begin(t, m)
	s.shows("waiting for an address", "Enter install")
	m.change(func(s *State) {
		s.Machine.Cards[2].Addresses = []string{"10.0.0.9/24"}
	})
	s.shows("10.0.0.9/24")
	s.types("d")
	s.shows("a disk", "scroll")
	s.types("\x1b[6~\x1b[6~\x1b[B")
	s.shows("the last disk")
	s.types("q")
	s.shows("Enter install")
	s.types("l")
	s.shows("the last line")
	s.types("\x1b")
	s.shows("Enter install")
	s.types("u")
	s.shows("there is no undo kit yet", "any key")
	s.types("x")
	s.shows("Enter install")
	s.types("s")
	expect(t, m, "shell")
	s.shows("Enter install")
	s.types("o")
	s.shows("Power this machine off?")
	s.types("y")
	expect(t, m, "shell", "off")
}

func TestWithoutATerminalThereAreNoScreens(t *testing.T) {
	m := &medium{state: single()}
	err := Run(t.Context(), &ui.Streams{In: strings.NewReader(""), Err: io.Discard}, m.actions(nil))
	if _, ok := errors.AsType[*ui.NotTerminalError](err); !ok {
		t.Errorf("got %v", err)
	}
}
