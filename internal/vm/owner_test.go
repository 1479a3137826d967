package vm

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/need"
)

// TestMain lets the test binary be a program of its own that owns a lab and comes to its end in some way.
func TestMain(m *testing.M) {
	if text := os.Getenv("STAGED_HIVE_TEST_OWNER"); text != "" {
		os.Exit(ownLab(text))
	}
	os.Exit(m.Run())
}

// ownership is what the child is told.
type ownership struct {
	Dir     string
	Host    Host
	Machine Machine
	Keep    bool
	Panic   bool
}

// ownLab opens a lab, starts a network and a machine, says so, and waits for the end.
func ownLab(text string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var o ownership
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		fmt.Println(err)
		return 1
	}
	if err := o.carryOut(ctx); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func (o ownership) carryOut(ctx context.Context) error {
	l, err := Open(ctx, o.Dir, o.Host, run.Local{})
	if err != nil {
		return err
	}
	defer l.Close()
	s, err := l.StartNetwork(ctx, Network{Name: "lan", Subnet: "10.9.8.0/24"})
	if err != nil {
		return err
	}
	r, err := l.Start(ctx, o.Machine, StartOptions{})
	if err != nil {
		return err
	}
	if o.Keep {
		if err := l.Keep(); err != nil {
			return err
		}
	}
	fmt.Println("up", s.emulator.pid, r.emulator.pid, l.sockets)
	if o.Panic {
		_, _ = io.Copy(io.Discard, os.Stdin) // not before somebody has looked at what runs
		panic("on purpose")
	}
	if !o.Keep {
		<-ctx.Done()
	}
	return nil
}

// owner is a child that is up.
type owner struct {
	cmd       *exec.Cmd
	emulators []emulator
	sockets   string
}

func startOwner(t *testing.T, o ownership) owner {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "STAGED_HIVE_TEST_OWNER="+string(text))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // after a failure; else there is nothing left
		_ = cmd.Process.Kill() // it has the lab as long as it lives
		_ = cmd.Wait()
		_ = Stop(context.Background(), o.Dir)
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	words := strings.Fields(line)
	if err != nil || len(words) != 4 || words[0] != "up" {
		t.Fatalf("the owner says %q, %v", line, err)
	}
	own := owner{cmd: cmd, sockets: words[3]}
	for _, w := range words[1:3] {
		pid, err := strconv.Atoi(w)
		if err != nil {
			t.Fatal(err)
		}
		e, ok := identify(pid)
		if !ok {
			t.Fatalf("QEMU %d does not run", pid)
		}
		own.emulators = append(own.emulators, e)
	}
	return own
}

func (o owner) gone(t *testing.T) {
	t.Helper()
	for _, e := range o.emulators {
		if e.alive() {
			t.Errorf("QEMU %d still runs", e.pid)
		}
	}
	if _, err := os.Lstat(o.sockets); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("sockets are still there: %v", err)
	}
}

func TestNothingIsLeftWhateverEndsTheOwner(t *testing.T) {
	h := testHost(t, Wish{})
	for _, tt := range []struct {
		name  string
		panic bool
		end   syscall.Signal
		after bool // only the next owner, or Stop, cleans up
	}{
		{name: "interrupted", end: syscall.SIGINT},
		{name: "panicked", panic: true},
		{name: "killed", end: syscall.SIGKILL, after: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "lab")
			own := startOwner(t, ownership{Dir: dir, Host: h, Machine: board(t), Panic: tt.panic})
			if tt.end != 0 {
				if _, err := Open(soon(t), dir, h, run.Local{}); !busy(err, own.cmd.Process.Pid) {
					t.Errorf("a second owner: %v", err)
				}
				if err := Stop(soon(t), dir); !busy(err, own.cmd.Process.Pid) {
					t.Errorf("stopped by another: %v", err)
				}
				if err := own.cmd.Process.Signal(tt.end); err != nil {
					t.Fatal(err)
				}
			}
			_ = own.cmd.Wait() // how it ended is what the test has done to it
			if tt.after {
				for _, e := range own.emulators {
					if !e.alive() {
						t.Errorf("QEMU %d ended by itself: this test tests nothing", e.pid)
					}
				}
				// The next owner finds them also without the files.
				if err := os.RemoveAll(filepath.Join(dir, pidsDir)); err != nil {
					t.Fatal(err)
				}
				l, err := Open(soon(t), dir, h, run.Local{})
				if err != nil {
					t.Fatal(err)
				}
				startBoard(t, l, board(t), StartOptions{})
				if err := l.Close(); err != nil {
					t.Error(err)
				}
				nothingLeft(t, l)
			}
			own.gone(t)
		})
	}
}

func busy(err error, pid int) bool {
	e, ok := errors.AsType[*BusyError](err)
	return ok && e.PID == pid
}

func TestKeptMachinesRunUntilTheyAreStopped(t *testing.T) {
	h := testHost(t, Wish{})
	dir := filepath.Join(t.TempDir(), "lab")
	own := startOwner(t, ownership{Dir: dir, Host: h, Machine: board(t), Keep: true})
	if err := own.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(soon(t), dir, h, run.Local{})
	kept, ok := errors.AsType[*KeptError](err)
	if !ok || !slices.Equal(kept.Machines, []string{"machine-board", "network-lan"}) {
		t.Errorf("open: %v", err)
	}
	for _, e := range own.emulators {
		if !e.alive() {
			t.Errorf("QEMU %d does not run any more", e.pid)
		}
	}
	for range 2 {
		if err := Stop(soon(t), dir); err != nil {
			t.Fatal(err)
		}
		own.gone(t)
	}
	l, err := Open(soon(t), dir, h, run.Local{})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestStrangersAreLeftAlone(t *testing.T) {
	sleep := need.Program(t, "sleep")
	base := t.TempDir()
	dir := filepath.Join(base, "lab")
	if err := os.MkdirAll(filepath.Join(dir, pidsDir), 0o700); err != nil {
		t.Fatal(err)
	}
	start := func(words ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), need.Program(t, "sh"), append([]string{"-c", sleep + " 600 & wait", "sh"}, words...)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			_ = cmd.Wait()
		})
		return cmd
	}
	// The number in the file is somebody else's by now; another lab's machine; one that only mentions the folder.
	strangers := []*exec.Cmd{
		start(),
		start("-pidfile", dir+"2/pids/machine-a.pid"),
		start("-pidfile", dir+"/pids/deeper/machine-a.pid"),
		start(dir + "/pids/machine-a.pid"),
	}
	file := filepath.Join(dir, pidsDir, "machine-a.pid")
	if err := os.WriteFile(file, []byte(strconv.Itoa(strangers[0].Process.Pid)), 0o600); err != nil {
		t.Fatal(err)
	}
	ours := start("-pidfile", file)
	l, err := Open(soon(t), dir, Host{}, run.Local{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, s := range strangers {
		if _, ok := identify(s.Process.Pid); !ok {
			t.Errorf("a stranger was ended: %v", s.Args)
		}
	}
	if _, ok := identify(ours.Process.Pid); ok {
		t.Error("what runs for the lab was left running")
	}
}

func TestStopWantsALab(t *testing.T) {
	if err := Stop(t.Context(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestLabInAnOddPlace(t *testing.T) {
	h := testHost(t, Wish{})
	real := filepath.Join(t.TempDir(), "a, b=[c]*\\ "+strings.Repeat("long", 30), strings.Repeat("longer", 20))
	if err := os.MkdirAll(real, 0o700); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	l, err := Open(soon(t), link, h, run.Local{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Open(soon(t), real, h, run.Local{}); !busy(err, os.Getpid()) {
		t.Errorf("the same lab by another name: %v", err)
	}
	r := startBoard(t, l, board(t, Disk{Name: "d", SizeBytes: 1 << 20, Bus: SATA}), StartOptions{})
	press(t, r, "nw")
	expect(t, r, "11")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ends(t, r, Stopped)
	if err := l.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	nothingLeft(t, l)
	if _, err := l.Start(soon(t), board(t), StartOptions{}); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("start in a closed lab: %v", err)
	}
}

func TestUnfinishedImagesAreRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	half := filepath.Join(dir, "machines", "a", "disk-d.qcow2"+unfinished)
	if err := os.MkdirAll(filepath.Dir(half), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(half, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Open(soon(t), dir, Host{}, run.Local{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := os.Stat(half); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}
