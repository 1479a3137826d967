package medium

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"

	"nixos-staged-hive/internal/blockdev"
	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
)

// OpenCommand is the hidden subcommand that [ServeOpen] stands behind.
const OpenCommand = "open-device"

// answer is what the privileged program says, together with the open device if there is one.
type answer struct {
	Device  hive.Device
	Refused *blockdev.RefusedError `json:",omitempty"`
	Busy    string                 `json:",omitempty"` // the path
	Error   string                 `json:",omitempty"`
}

// maxAnswer bounds an answer, in bytes. One with twenty reasons takes 3 KB.
const maxAnswer = 64 << 10

func (a answer) err() error {
	switch {
	case a.Refused != nil:
		return a.Refused
	case a.Busy != "":
		return &blockdev.BusyError{Path: a.Busy, Err: syscall.EBUSY}
	case a.Error != "":
		return errors.New(a.Error)
	}
	return nil
}

func answerOf(device hive.Device, err error) answer {
	device.Children = nil // nobody asks for them, and a message has its limit
	a := answer{Device: device}
	refused, busy := (*blockdev.RefusedError)(nil), (*blockdev.BusyError)(nil)
	switch {
	case errors.As(err, &refused):
		a.Refused = &blockdev.RefusedError{Path: refused.Path, Device: device, Reasons: refused.Reasons}
	case errors.As(err, &busy):
		a.Busy = busy.Path
	case err != nil:
		a.Error = err.Error()
	}
	return a
}

// ServeOpen is the privileged side: it opens the device that the arguments name (PATH, BYTES of the image, and what was typed to confirm it)
// and passes it back through socket, a file descriptor of its own. It ends when the other side closes its end, after the kernel has read the
// new partition table. What speaks against the device is told to the other side; only what could not be told is returned.
func ServeOpen(ctx context.Context, r run.Runner, arguments []string, socket uintptr) error {
	w, err := parseWish(arguments)
	if err != nil {
		return err
	}
	conn, err := connection(os.NewFile(socket, "socket"))
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing is buffered
	held, device, err := take(ctx, r, w)
	if err != nil {
		return pass(conn, answerOf(device, err), nil)
	}
	if err := pass(conn, answerOf(device, nil), held); err != nil {
		return errors.Join(err, held.Close())
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	_, _ = conn.Read(make([]byte, 1)) // nothing ever comes: it returns when the other side is done or gone
	_ = held.Reread()                 // udev does it, too, where there is one
	return held.Close()
}

func parseWish(arguments []string) (wish, error) {
	if len(arguments) > 0 && arguments[0] == "--" {
		arguments = arguments[1:]
	}
	if len(arguments) != 3 {
		return wish{}, fmt.Errorf("%s takes a device, the bytes of an image, and what was typed to confirm it", OpenCommand)
	}
	bytes, err := strconv.ParseInt(arguments[1], 10, 64)
	if err != nil || bytes <= 0 {
		return wish{}, fmt.Errorf("%s: %q is no number of bytes", OpenCommand, arguments[1])
	}
	return wish{arguments[0], bytes, arguments[2]}, nil
}

func (w wish) arguments() []string {
	return []string{w.Path, strconv.FormatInt(w.Bytes, 10), w.Confirm}
}

// connection takes over a socket.
func connection(file *os.File) (*net.UnixConn, error) {
	conn, err := net.FileConn(file)
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, fmt.Errorf("use the socket to the other program: %w", err)
	}
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(errors.New("the file to answer to is no local socket"), conn.Close())
	}
	return unix, nil
}

// pass sends the answer, and the open device if there is one, as one message.
func pass(conn *net.UnixConn, a answer, held *blockdev.Held) error {
	text, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("write an answer: %w", err)
	}
	var rights []byte
	if held != nil {
		rights = syscall.UnixRights(int(held.File().Fd()))
	}
	if _, _, err := conn.WriteMsgUnix(text, rights, nil); err != nil {
		return fmt.Errorf("pass the device on: %w", err)
	}
	return nil
}

// receive gets what pass sent; without a device the answer says why.
func receive(conn *net.UnixConn) (answer, *os.File, error) {
	text, rights := make([]byte, maxAnswer), make([]byte, syscall.CmsgSpace(4)) // one descriptor is 4 bytes
	n, count, _, _, err := conn.ReadMsgUnix(text, rights)
	if err == nil && n == 0 {
		err = errors.New("it ended without an answer")
	}
	var a answer
	fd := -1
	if err == nil {
		fd, err = passed(rights[:count])
	}
	if err == nil {
		err = json.Unmarshal(text[:n], &a)
	}
	if err != nil {
		return answer{}, nil, fmt.Errorf("wait for the privileged program: %w", err)
	}
	if fd < 0 {
		return a, nil, nil
	}
	return a, os.NewFile(uintptr(fd), a.Device.Path), nil
}

// passed finds the open file in a control message; -1 is none.
func passed(rights []byte) (int, error) {
	messages, err := syscall.ParseSocketControlMessage(rights)
	if err != nil {
		return -1, fmt.Errorf("read what came with the answer: %w", err)
	}
	for _, m := range messages {
		descriptors, err := syscall.ParseUnixRights(&m)
		if err != nil {
			return -1, fmt.Errorf("read what came with the answer: %w", err)
		}
		if len(descriptors) > 0 { // there was room for one
			syscall.CloseOnExec(descriptors[0])
			return descriptors[0], nil
		}
	}
	return -1, nil
}
