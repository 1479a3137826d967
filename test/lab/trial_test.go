package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/need"
	"nixos-staged-hive/internal/vm"
)

// patience is for whatever hangs: without KVM and on a busy computer a machine takes many minutes for a restart.
const patience = 40 * time.Minute

// trial is one machine, and a workspace whose host it becomes.
type trial struct {
	*testing.T
	ctx     context.Context
	host    string
	dir     string // of the trial: workspace, home, disks, logs
	program string
	began   time.Time

	lab     *vm.Lab
	segment *vm.Segment
	machine vm.Machine
	running *vm.Running
	silent  int // length of the serial log before the machine was switched on
}

// begin makes workspace and network for a host of the folder hosts. The machine is off.
func begin(t *testing.T, m vm.Machine, address string) *trial {
	t.Helper()
	x := &trial{T: t, ctx: t.Context(), host: m.Name, machine: m, began: time.Now(), program: program(t)}
	nixpkgs, disko := trees(t)
	x.dir = folder(t, m.Name)
	x.workspace(nixpkgs, disko)
	host, err := vm.Probe(x.ctx, run.Local{}, vm.Wish{UEFI: m.Firmware == vm.UEFI})
	x.must(err)
	x.lab, err = vm.Open(x.ctx, filepath.Join(x.dir, "machines"), host, run.Local{})
	x.must(err)
	t.Cleanup(func() {
		x.photograph()
		if err := x.lab.Close(); err != nil {
			t.Error(err)
		}
	})
	x.segment, err = x.lab.StartNetwork(x.ctx, vm.Network{
		Name: "lan", Subnet: "192.168.77.0/24", Forwards: []vm.Forward{{Name: m.Name, Address: address, Port: 22}},
	})
	x.must(err)
	return x
}

// program is the one that is tried, which is also `setup` on the media.
func program(t *testing.T) string {
	t.Helper()
	file := os.Getenv("STAGED_HIVE_PROGRAM")
	if file == "" {
		t.Fatal("STAGED_HIVE_PROGRAM names the program to try: make lab")
	}
	return file
}

// trees gives the lab's nixpkgs and the real disko.
func trees(t *testing.T) (nixpkgs, disko string) {
	t.Helper()
	_, disko = need.Tree(t)
	cmd := exec.CommandContext(t.Context(), filepath.Join(need.Module(t), "scripts", "lab-tree.sh"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("prepare the lab: %v", err)
	}
	return strings.TrimSpace(string(out)), disko
}

// folder is an empty one that stays after the test: what failed is to be looked at.
func folder(t *testing.T, name string) string {
	t.Helper()
	cache := os.Getenv("STAGED_HIVE_LAB_CACHE")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(home, ".cache", "nixos-staged-hive-lab")
	}
	dir := filepath.Join(cache, "trials", name)
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(filepath.Join(dir, "home", ".ssh"), 0o700)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// workspace lays out the hosts.
func (x *trial) workspace(nixpkgs, disko string) {
	x.Helper()
	x.must(os.CopyFS(x.file("workspace"), os.DirFS("hosts")))
	pins, err := json.Marshal(map[string]string{"nixos": nixpkgs, "disko": disko})
	x.must(err)
	x.write("workspace/versions.json", string(pins))
	key := x.key()
	public, err := os.ReadFile(key + ".pub")
	x.must(err)
	x.write("workspace/common/admin.pub", string(public))
	x.write("home/.ssh/config", "Host *\nIdentityFile "+key+"\nIdentitiesOnly yes\n")
}

// key is that of the person who logs in. All trials have the same, so that what was built for it can be used again; it opens nothing but
// these machines.
func (x *trial) key() string {
	x.Helper()
	key := filepath.Join(filepath.Dir(x.dir), "key")
	if _, err := os.Stat(key + ".pub"); err == nil {
		return key
	}
	out, err := exec.CommandContext(x.ctx, need.Program(x.T, "ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "mia@lab", "-f", key).CombinedOutput()
	if err != nil {
		x.Fatalf("make a key: %v\n%s", err, out)
	}
	return key
}

func (x *trial) file(names ...string) string {
	return filepath.Join(append([]string{x.dir}, names...)...)
}

func (x *trial) write(name, text string) {
	x.Helper()
	x.must(os.WriteFile(x.file(name), []byte(text), 0o600))
}

func (x *trial) must(err error) {
	x.Helper()
	if err != nil {
		x.Fatal(err)
	}
}

// step logs what is going on, and when.
func (x *trial) step(format string, args ...any) {
	x.Helper()
	load, _ := os.ReadFile("/proc/loadavg")
	now, _, _ := strings.Cut(string(load), " ")
	x.Logf("%5.1f min (load %s)  %s", time.Since(x.began).Minutes(), now, fmt.Sprintf(format, args...))
}

// answer is what a command said.
type answer struct {
	out, err string
	code     int
}

// hive runs the program in the workspace, as a user would who has nothing but it. All it says is kept in cli.log.
func (x *trial) hive(args ...string) answer {
	x.Helper()
	log, err := os.OpenFile(x.file("cli.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	x.must(err)
	defer log.Close()
	fmt.Fprintf(log, "\n$ nixos-staged-hive %s\n", strings.Join(args, " "))
	cmd := exec.CommandContext(x.ctx, x.program, append([]string{"-p", x.file("workspace")}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+x.file("home"), "XDG_CONFIG_HOME=", "XDG_CACHE_HOME=", "SSH_AUTH_SOCK=")
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, log), io.MultiWriter(&problems, log)
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		x.Fatalf("%s: %v", args[0], err)
	}
	return answer{out.String(), problems.String(), cmd.ProcessState.ExitCode()}
}

// done wants a command to end well.
func (x *trial) done(a answer) answer {
	x.Helper()
	if a.code != 0 {
		x.Fatalf("exit code %d\n%s\n%s", a.code, a.out, a.err)
	}
	return a
}

// writeMedium builds and writes a medium, as a file. The first writing also makes the host's key, which is the only one that is believed from then on.
func (x *trial) writeMedium(name string) string {
	x.Helper()
	file := x.file(name)
	a := x.done(x.hive("install", "-n", x.host, "-d", file, "--json"))
	var written struct{ HostKeys map[string]string }
	x.must(json.Unmarshal([]byte(a.out), &written))
	key := strings.Join(strings.Fields(written.HostKeys[x.host])[:2], " ")
	x.write("known_hosts", fmt.Sprintf("[127.0.0.1]:%d %s\n", x.port(), key))
	x.atTheBootMenu(file)
	return file
}

// atTheBootMenu does to a medium what somebody does who edits its menu's entries: they get the console and the patience of an emulated machine.
func (x *trial) atTheBootMenu(file string) {
	x.Helper()
	const before, after = "boot.shell_on_fail loglevel=4", "no_timer_check console=ttyS0 "
	image, err := os.ReadFile(file)
	x.must(err)
	if !bytes.Contains(image, []byte(before)) {
		x.Fatalf("no entry of the menu of %s has %q", file, before)
	}
	x.must(os.WriteFile(file, bytes.ReplaceAll(image, []byte(before), []byte(after)), 0o600))
}

func (x *trial) port() int { return x.segment.Port(x.host) }

// address is what a user gives as --remote.
func (x *trial) address() string { return fmt.Sprintf("127.0.0.1:%d", x.port()) }

// on switches the machine on, with a medium in it, which is what its firmware starts first. It ends when it restarts: see again.
func (x *trial) on(medium string) {
	x.Helper()
	x.machine.Medium = medium
	x.must(x.start(vm.StartOptions{EndOnReset: x.machine.Firmware == vm.UEFI}))
}

func (x *trial) start(o vm.StartOptions) error {
	if x.running != nil {
		log, err := os.ReadFile(x.running.SerialLog())
		if err != nil {
			return err
		}
		x.silent = len(log)
	}
	running, err := x.lab.Start(x.ctx, x.machine, o)
	if err == nil {
		x.running = running
	}
	return err
}

// again waits until a machine with UEFI restarts itself, and then lets its firmware go by its own variables, with the medium still in. An order that
// QEMU gives would make OVMF throw all entries away that are not in it, and with them the one that BootNext names.
func (x *trial) again(ctx context.Context) error {
	end, err := x.running.Wait(ctx)
	if err != nil {
		return err
	}
	if end.How != vm.GuestReset {
		return fmt.Errorf("the machine did not restart: %s", end)
	}
	return x.start(vm.StartOptions{DiskFirst: true})
}

// off waits for a machine that was told to switch itself off.
func (x *trial) off() {
	x.Helper()
	ctx, cancel := context.WithTimeout(x.ctx, patience)
	defer cancel()
	end, err := x.running.Wait(ctx)
	x.must(err)
	if end.How != vm.GuestShutdown {
		x.Fatalf("the machine did not shut down: %s", end)
	}
}

// photograph keeps what the screen shows when a trial failed.
func (x *trial) photograph() {
	if !x.Failed() || x.running == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if file := x.file("failed.png"); x.running.Screenshot(ctx, file) == nil {
		x.Logf("the screen: %s; the serial console: %s", file, x.running.SerialLog())
	}
}

// console waits until the machine says something on its serial console, for the nth time since it was switched on.
func (x *trial) console(text string, n int) {
	x.Helper()
	ctx, cancel := context.WithTimeout(x.ctx, patience)
	defer cancel()
	x.must(x.said(ctx, text, n))
}

func (x *trial) said(ctx context.Context, text string, n int) error {
	for {
		_, over := x.over()
		log, err := os.ReadFile(x.running.SerialLog())
		if err != nil {
			return err
		}
		if bytes.Count(log[min(x.silent, len(log)):], []byte(text)) >= n {
			return nil
		}
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("wait for %q: %w", text, context.Cause(ctx))
		case over:
			return fmt.Errorf("wait for %q: the machine is off", text)
		}
		time.Sleep(time.Second)
	}
}

// unlock types the passphrase of encrypted disks again and again, from the nth start of a kernel on. The screen alone shows whether one is waited for.
func (x *trial) unlock(passphrase string, n int) (stop func()) {
	ctx, stop := context.WithCancel(x.ctx)
	go func() {
		if x.said(ctx, "Linux version", n) != nil {
			return
		}
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(15 * time.Second):
				_ = x.running.Type(ctx, passphrase+"\n") // the machine may be gone
			}
		}
	}()
	return stop
}

// sh runs a line of shell on the machine and gives what it says. Only the machine with the host's key is believed.
func (x *trial) sh(user, line string) (string, error) {
	cmd := exec.CommandContext(x.ctx, "ssh", "-F", x.file("home", ".ssh", "config"), "-p", fmt.Sprint(x.port()),
		"-o", "UserKnownHostsFile="+x.file("known_hosts"), "-o", "GlobalKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes",
		"-o", "ConnectTimeout=45", "-o", "ServerAliveInterval=60", user+"@127.0.0.1", line)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		return strings.TrimSpace(string(out)), fmt.Errorf("%s: %w: %s", line, err, strings.TrimSpace(problems.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

func (x *trial) mustSay(user, line string) string {
	x.Helper()
	out, err := x.sh(user, line)
	x.must(err)
	return out
}

// login waits until somebody gets in.
func (x *trial) login(user string) {
	x.Helper()
	for until := time.Now().Add(patience); ; time.Sleep(3 * time.Second) {
		_, err := x.sh(user, "true")
		if err == nil {
			return
		}
		if time.Now().After(until) || x.ctx.Err() != nil {
			x.Fatal(err)
		}
		if end, over := x.over(); over {
			x.Fatalf("the machine has ended: %s", end)
		}
	}
}

func (x *trial) over() (vm.End, bool) {
	ctx, cancel := context.WithTimeout(x.ctx, time.Millisecond)
	defer cancel()
	end, err := x.running.Wait(ctx)
	return end, err == nil
}

// wants compares what the machine says with what it should.
func (x *trial) wants(user, line, want string) {
	x.Helper()
	if got := x.mustSay(user, line); got != want {
		x.Fatalf("%s: %q, not %q", line, got, want)
	}
}

// isMini wants the machine to be the installed mini system, and well; that no network came while it started is no failure.
func (x *trial) isMini(units ...string) {
	x.Helper()
	file := filepath.Join(x.file("workspace"), "generated", "default.nix")
	out, err := exec.CommandContext(x.ctx, "nix-build", file, "-A", x.host+".mini", "--no-out-link").Output()
	x.must(err)
	mini := strings.TrimSpace(string(out))
	for _, link := range []string{"/run/current-system", "/run/booted-system", "/nix/var/nix/profiles/system"} {
		x.wants("mia", "readlink -f "+link, mini)
	}
	x.mustSay("mia", "systemctl is-system-running --wait || true")
	x.wants("mia", "systemctl list-units --failed --plain --no-legend | grep -v '^systemd-networkd-wait-online.service ' || true", "")
	x.wants("mia", "sudo id -u", "0")
	for _, line := range units {
		x.mustSay("mia", line)
	}
}
