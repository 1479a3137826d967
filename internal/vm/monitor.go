package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
)

// monitor is a connection to one QEMU over QMP, its machine protocol: commands one way; answers, each with the number of its command,
// and events the other.
type monitor struct {
	conn   *net.UnixConn
	events func(event)   // called for each event in order, from one goroutine
	gone   chan struct{} // closed when the connection has ended and all events were told

	mu      sync.Mutex
	last    int // number of the last command
	pending map[int]chan answer
}

// event is something QEMU tells by itself.
type event struct {
	Name string
	Data struct {
		Reason string `json:"reason"` // of SHUTDOWN and RESET
		Guest  bool   `json:"guest"`
		Device string `json:"device"` // of DEVICE_DELETED
	}
}

// answer is what QEMU says to a command: one of the two.
type answer struct {
	Return json.RawMessage
	Error  *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	}
}

// message is anything that arrives.
type message struct {
	Greeting json.RawMessage `json:"QMP"`
	Event    string          `json:"event"`
	Data     json.RawMessage `json:"data"`
	ID       *int            `json:"id"`
	answer
}

var errMonitorGone = errors.New("the connection to QEMU has ended")

// dialMonitor connects to QEMU's socket. It is there as soon as QEMU has gone into the background.
func dialMonitor(ctx context.Context, socket string, events func(event)) (*monitor, error) {
	var d net.Dialer
	dialled, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("connect to QEMU: %w", err)
	}
	conn, ok := dialled.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("connect to QEMU: %T is no unix socket", dialled)
	}
	m := &monitor{conn: conn, events: events, gone: make(chan struct{}), pending: map[int]chan answer{}}
	go m.read()
	if err := m.call(ctx, "qmp_capabilities", nil, nil); err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

// close ends the connection; QEMU goes on.
func (m *monitor) close() {
	_ = m.conn.Close()
	<-m.gone
}

func (m *monitor) read() {
	defer close(m.gone)
	defer m.conn.Close() //nolint:errcheck // it is only read from here on, and that has ended
	d := json.NewDecoder(m.conn)
	for {
		var got message
		if err := d.Decode(&got); err != nil {
			return
		}
		switch {
		case got.Event != "":
			m.tell(got)
		case got.ID != nil:
			m.deliver(*got.ID, got.answer)
		}
	}
}

// tell passes an event on. Data that is not as expected leaves the fields empty: the name is what counts.
func (m *monitor) tell(got message) {
	e := event{Name: got.Event}
	_ = json.Unmarshal(got.Data, &e.Data)
	m.events(e)
}

func (m *monitor) deliver(id int, a answer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if waiting, ok := m.pending[id]; ok {
		delete(m.pending, id)
		waiting <- a // has room for one
	}
}

// call sends a command and decodes what it returns, unless result is nil. A refusal is a *MonitorError; a connection that ends on the
// way is errMonitorGone.
func (m *monitor) call(ctx context.Context, command string, arguments, result any) error {
	return m.callWith(ctx, command, arguments, nil, result)
}

// give hands an open file to QEMU, which calls it name.
func (m *monitor) give(ctx context.Context, name string, fd int) error {
	return m.callWith(ctx, "getfd", args{"fdname": name}, syscall.UnixRights(fd), nil)
}

// callWith is call with rights, which travel beside the command.
func (m *monitor) callWith(ctx context.Context, command string, arguments any, rights []byte, result any) error {
	id, waiting, err := m.send(command, arguments, rights)
	if err != nil {
		return fmt.Errorf("qemu %s: %w", command, err)
	}
	select {
	case a := <-waiting:
		return a.read(command, result)
	case <-m.gone:
		select {
		case a := <-waiting: // it came just before the end
			return a.read(command, result)
		default:
			return fmt.Errorf("qemu %s: %w", command, errMonitorGone)
		}
	case <-ctx.Done():
		m.mu.Lock()
		delete(m.pending, id)
		m.mu.Unlock()
		return fmt.Errorf("qemu %s: %w", command, context.Cause(ctx))
	}
}

func (m *monitor) send(command string, arguments any, rights []byte) (int, <-chan answer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last++
	text, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
		ID        int    `json:"id"`
	}{command, arguments, m.last})
	if err != nil {
		return 0, nil, fmt.Errorf("write its arguments: %w", err)
	}
	waiting := make(chan answer, 1)
	m.pending[m.last] = waiting
	if _, _, err := m.conn.WriteMsgUnix(append(text, '\n'), rights, nil); err != nil {
		delete(m.pending, m.last)
		return 0, nil, errMonitorGone
	}
	return m.last, waiting, nil
}

func (a answer) read(command string, result any) error {
	if a.Error != nil {
		return &MonitorError{Command: command, Class: a.Error.Class, Reason: a.Error.Desc}
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(a.Return, result); err != nil {
		return fmt.Errorf("qemu %s: read its answer: %w", command, err)
	}
	return nil
}

// human runs a command of the monitor for people, for the few things QMP has no command for. It says nothing when all is well.
func (m *monitor) human(ctx context.Context, line string) error {
	var said string
	if err := m.call(ctx, "human-monitor-command", args{"command-line": line}, &said); err != nil {
		return err
	}
	if said != "" {
		return &MonitorError{Command: line, Class: "GenericError", Reason: oneLine(said)}
	}
	return nil
}

// args are the arguments of a QMP command.
type args map[string]any
