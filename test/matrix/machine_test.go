package matrix

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"nixos-staged-hive/internal/testbed/nbd"
)

// patience is for a machine that hangs; others take seconds.
const patience = 10 * time.Minute

// machine is a running QEMU.
type machine struct {
	dir     string
	cmd     *exec.Cmd
	said    bytes.Buffer // by QEMU itself
	qmp     *json.Decoder
	monitor net.Conn
	agent   io.WriteCloser // the guest's second serial port
	lines   *bufio.Scanner
	disks   []*nbd.Disk
	sockets []net.Listener
	power   *nbd.Power
	ended   chan struct{}
}

// board is what all starts with firmware have in common: a machine of which a saved state fits every other. Disks are not part of it.
func board(code, vars, console string) []string {
	return append(bare(console),
		"-drive", "if=pflash,unit=0,format=raw,readonly=on,file="+code, "-drive", "if=pflash,unit=1,format=raw,file="+vars,
		"-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=n", "-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n")
}

// bare is a machine of which QEMU itself starts the kernel. Its processor has nothing whose emulation is dear and that nobody needs.
func bare(console string) []string {
	return []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "pc,smm=off,vmport=off",
		"-accel", "tcg,thread=single", "-cpu", "max,la57=off,avx=off,avx2=off,smap=off,smep=off,pku=off", "-smp", "1", "-m", "1024M",
		"-device", "virtio-net-pci,romfile=,addr=0x4", "-chardev", "file,id=console,append=on,path=" + console, "-serial", "chardev:console",
		"-chardev", "stdio,id=agent,signal=off", "-serial", "chardev:agent",
	}
}

// launch starts QEMU; it is ready for commands.
func launch(ctx context.Context, dir string, args ...string) (*machine, error) {
	m := &machine{dir: dir, ended: make(chan struct{})}
	socket := filepath.Join(dir, "qmp")
	_ = os.Remove(socket)
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	defer l.Close() // there is one connection
	m.cmd = exec.CommandContext(ctx, "qemu-system-x86_64", append(args, "-qmp", "unix:"+socket)...)
	m.cmd.Stderr = &m.said
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it ends with the test, however that ends
	if m.agent, err = m.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	m.lines = bufio.NewScanner(out)
	m.lines.Buffer(nil, 1<<20)
	if err := m.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		<-ctx.Done()
		_ = l.Close()
	}()
	if m.monitor, err = l.Accept(); err != nil {
		return nil, errors.Join(err, m.kill())
	}
	m.qmp = json.NewDecoder(m.monitor)
	var hello any
	if err := m.qmp.Decode(&hello); err != nil {
		return nil, errors.Join(fmt.Errorf("qemu: %w: %s", err, m.said.String()), m.kill())
	}
	return m, m.call("qmp_capabilities", nil, nil)
}

// call is a command to QEMU.
func (m *machine) call(command string, arguments, result any) error {
	question := map[string]any{"execute": command}
	if arguments != nil {
		question["arguments"] = arguments
	}
	text, err := json.Marshal(question)
	if err != nil {
		return err
	}
	if _, err := m.monitor.Write(append(text, '\n')); err != nil {
		return err
	}
	for {
		var answer struct {
			Return json.RawMessage
			Error  *struct{ Desc string }
		}
		if err := m.qmp.Decode(&answer); err != nil {
			return fmt.Errorf("qemu %s: %w: %s", command, err, m.said.String())
		}
		switch {
		case answer.Error != nil:
			return fmt.Errorf("qemu %s: %s", command, answer.Error.Desc)
		case answer.Return != nil && result != nil:
			return json.Unmarshal(answer.Return, result)
		case answer.Return != nil:
			return nil
		}
	}
}

// kill ends QEMU without asking anybody, and waits for its end.
func (m *machine) kill() error {
	_ = m.cmd.Process.Kill() // it may have ended
	_ = m.cmd.Wait()
	if m.monitor != nil {
		_ = m.monitor.Close()
	}
	var problems []error
	for _, s := range m.sockets {
		problems = append(problems, s.Close())
	}
	return errors.Join(problems...)
}

// release ends QEMU and lets go of the disks.
func (m *machine) release() error {
	err := m.kill()
	for _, d := range m.disks {
		err = errors.Join(err, d.Close())
	}
	return err
}

// diskArguments open a disk, and give QEMU's arguments for it.
func (m *machine) open(name, file string) error {
	d, err := nbd.Open(file, m.power)
	if err != nil {
		return err
	}
	m.disks = append(m.disks, d)
	socket := filepath.Join(m.dir, name+".nbd")
	_ = os.Remove(socket)
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	m.sockets = append(m.sockets, l)
	go d.Serve(l) // what it has to say shows in the guest
	return nil
}

// save writes the state of the machine to a file. It stands still then.
func (m *machine) save(file string) error {
	if err := m.call("stop", nil, nil); err != nil {
		return err
	}
	for _, o := range []struct {
		name      string
		arguments any
	}{
		{"migrate-set-parameters", map[string]any{"max-bandwidth": int64(1) << 40}},
		{"migrate", map[string]any{"uri": "exec:cat > " + file}},
	} {
		if err := m.call(o.name, o.arguments, nil); err != nil {
			return err
		}
	}
	for {
		var state struct {
			Status    string
			ErrorDesc string `json:"error-desc"`
		}
		if err := m.call("query-migrate", nil, &state); err != nil {
			return err
		}
		switch state.Status {
		case "completed":
			return nil
		case "failed", "cancelled":
			return fmt.Errorf("save the machine: %s", state.ErrorDesc)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// line is the next one that the guest's agent says. A machine without power says nothing.
func (m *machine) line() (string, error) {
	if !m.lines.Scan() {
		return "", errors.Join(io.EOF, m.lines.Err())
	}
	return strings.TrimRight(m.lines.Text(), "\r"), nil
}

// order has the agent run a line of shell and calls each with what it says. It returns the exit code.
func (m *machine) order(shell string, each func(string)) (int, error) {
	if _, err := io.WriteString(m.agent, shell+"\n"); err != nil {
		return 0, err
	}
	for {
		text, err := m.line()
		if err != nil {
			return 0, fmt.Errorf("%.60s: %w", shell, err)
		}
		if code := 0; strings.HasPrefix(text, "STATUS ") {
			_, err := fmt.Sscanf(text, "STATUS %d", &code)
			return code, err
		}
		if each != nil {
			each(text)
		}
	}
}

// effort is the processor time that QEMU took so far, in seconds.
func (m *machine) effort() float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	var user, system float64
	_, after, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(after)
	if len(fields) > 12 {
		_, _ = fmt.Sscan(fields[11], &user)
		_, _ = fmt.Sscan(fields[12], &system)
	}
	return (user + system) / 100
}

// spent is the same of a QEMU that has ended.
func (m *machine) spent() float64 {
	state := m.cmd.ProcessState
	if state == nil {
		return 0
	}
	return (state.UserTime() + state.SystemTime()).Seconds()
}
