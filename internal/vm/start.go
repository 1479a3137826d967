package vm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// StartOptions say how a machine is switched on. The zero value is like a real one: it boots the medium if one is in, else what the
// firmware finds; what is on the disks and in the firmware's variables is still there.
type StartOptions struct {
	// From goes back to a snapshot: disks, variables, and for one that was taken while the machine ran also memory and devices.
	// What happened since is lost.
	From string
	// DiskFirst boots the disks although a medium is in.
	DiskFirst bool
	// ResetNVRAM gives UEFI firmware its factory settings first, as a board with a flat battery has: boot entries are gone.
	ResetNVRAM bool
	// EndOnReset makes a reboot of the guest an end (GuestReset), so that something can be done before it boots again, such as
	// pulling the medium.
	EndOnReset bool
}

// Start switches a machine on and returns when its processor runs. Disks that do not exist yet are blank. All networks of its cards must
// be up. Errors: *MissingError for a UEFI machine without OVMF, *run.Error with QEMU's words.
func (l *Lab) Start(ctx context.Context, m Machine, o StartOptions) (*Running, error) {
	leave, err := l.enter()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", m.Name, err)
	}
	defer leave()
	r, err := l.start(ctx, m, o)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", m.Name, err)
	}
	return r, nil
}

func (l *Lab) start(ctx context.Context, m Machine, o StartOptions) (*Running, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	r := newRunning(l, m)
	if err := l.occupy(m.Name, r); err != nil {
		return nil, err
	}
	err := l.switchOn(ctx, r, o)
	if err != nil {
		r.unplugAll(context.WithoutCancel(ctx))
		l.vacate(m.Name)
		return nil, err
	}
	return r, nil
}

// occupy makes sure that a machine runs once: two would write to the same disks.
func (l *Lab) occupy(name string, r *Running) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running[name] != nil {
		return errors.New("it is on already")
	}
	l.running[name] = r
	return nil
}

func (l *Lab) vacate(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.running, name)
}

func (l *Lab) switchOn(ctx context.Context, r *Running, o StartOptions) error {
	m := r.machine
	files, err := l.prepare(ctx, m, o.ResetNVRAM)
	if err != nil {
		return err
	}
	files.diskFirst = o.DiskFirst
	live, err := l.goBack(ctx, m, o.From)
	if err != nil {
		return err
	}
	if err := r.plugAll(ctx, files.plugs); err != nil {
		return err
	}
	arguments, err := l.arguments(r, files, o)
	if err != nil {
		return err
	}
	if err := r.openConsole(); err != nil {
		return err
	}
	r.emulator, r.monitor, err = l.launch(ctx, "machine-"+m.Name+".pid", arguments, r.note)
	if err != nil {
		return err
	}
	go r.watch() //nolint:contextcheck // it goes on as long as the machine runs, whatever ends the start's context
	if live {
		err = r.load(ctx, o.From)
	}
	if err == nil {
		err = r.monitor.call(ctx, "cont", nil, nil)
	}
	if err != nil {
		r.cut()
		<-r.ended
		return err
	}
	return nil
}

// arguments of a machine: what all have in common, then its devices. It starts paused, because a snapshot may have to be loaded first.
func (l *Lab) arguments(r *Running, files machineFiles, o StartOptions) ([]string, error) {
	m := r.machine
	devices, err := deviceArguments(m, files, l.host)
	if err != nil {
		return nil, err
	}
	onReset := "reset"
	if o.EndOnReset {
		onReset = "shutdown"
	}
	common := []string{
		"-name", m.Name, "-S",
		"-accel", string(l.host.Accelerator), "-cpu", cpuModel(l.host.Accelerator),
		"-smp", strconv.Itoa(cmp.Or(m.CPUs, 2)), "-m", strconv.FormatInt(cmp.Or(m.MemoryMiB, 2048), 10) + "M",
		"-rtc", "base=utc",
		"-action", "reboot=" + onReset + ",shutdown=poweroff,panic=shutdown",
		"-device", "pvpanic", // tells us of a kernel panic; not on PCI, where it would move other devices
		"-vga", "std", // for screenshots
		"-chardev", "file,id=serial,append=on,path=" + comma(r.SerialLog()), "-serial", "chardev:serial",
	}
	if k := m.Kernel; k != nil {
		common = append(common, "-kernel", k.Image)
		if k.Initrd != "" {
			common = append(common, "-initrd", k.Initrd)
		}
		if k.CommandLine != "" {
			common = append(common, "-append", k.CommandLine)
		}
	}
	return append(common, devices...), nil
}

// openConsole marks the beginning of this start in the log of the serial console.
func (r *Running) openConsole() error {
	f, err := os.OpenFile(r.SerialLog(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "\n=== %s switched on at %s ===\n", r.machine.Name, time.Now().UTC().Format(time.RFC3339))
	if err == nil {
		var s os.FileInfo
		if s, err = f.Stat(); err == nil {
			r.console = s.Size()
		}
	}
	return errors.Join(err, f.Close())
}

// SerialLog is the file with all that the machine wrote to its first serial port (ttyS0), start after start, each after a line that
// tells when.
func (r *Running) SerialLog() string {
	return filepath.Join(r.lab.machineDir(r.machine.Name), "serial.log")
}

// Erase forgets a machine that does not run: its next start has blank disks, firmware with factory settings, and no snapshots.
func (l *Lab) Erase(name string) error {
	leave, err := l.enter()
	if err != nil {
		return fmt.Errorf("erase %s: %w", name, err)
	}
	defer leave()
	if err := checkName("machine", name); err != nil {
		return fmt.Errorf("erase: %w", err)
	}
	if err := l.occupy(name, newRunning(l, Machine{Name: name})); err != nil {
		return fmt.Errorf("erase %s: %w", name, err)
	}
	defer l.vacate(name)
	if err := os.RemoveAll(l.machineDir(name)); err != nil {
		return fmt.Errorf("erase %s: %w", name, err)
	}
	return nil
}
