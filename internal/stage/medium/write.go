package medium

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"

	"nixos-staged-hive/internal/blockdev"
	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/run"
)

// Room writes media.
type Room struct {
	Runner run.Runner // of this machine
	// Elevate is the command that becomes root, and Self this program: together with [OpenCommand] and its arguments they open a device that
	// we may not open. Without Elevate nobody is asked.
	Elevate []string
	Self    string
}

// Sudo is what Elevate usually is. The prompt says what the password is for.
func Sudo() []string {
	return []string{"sudo", "-p", "[sudo] password of %u, to open the device: ", "--"}
}

// Order says what is to be written where.
type Order struct {
	Image     string // the file
	Replace   []blockdev.Region
	Target    string // a device, or a file
	Confirm   string // [blockdev.Word] of the device, as it was typed; of no use for a file
	Overwrite bool   // a file that exists
	Verify    bool   // read everything back
	Progress  progress.Sink
}

// Receipt tells what was written.
type Receipt struct {
	Device   hive.Device // zero for a file
	Bytes    int64       // of the image
	Verified bool
}

// UnconfirmedError is a device for which nothing, or something else than its word, was typed.
type UnconfirmedError struct {
	Device hive.Device
	Word   string
}

func (e *UnconfirmedError) Error() string {
	return fmt.Sprintf("all that is on %s would be lost; to confirm it takes %s", e.Device.Path, e.Word)
}

// Write writes an image to a device or a file. A device is overwritten only if its word was typed and nothing else speaks against it; see
// [blockdev.Judge]. The errors are *UnconfirmedError, those of package blockdev (*RefusedError, *BusyError, *ChangedError, *UnfinishedError, *VerifyError,
// *ExistsError), and *run.MissingError for lsblk or sudo.
func (m Room) Write(ctx context.Context, o Order) (Receipt, error) {
	file, bytes, err := blockdev.OpenImage(o.Image)
	if err != nil {
		return Receipt{}, fmt.Errorf("open the image: %w", err)
	}
	defer file.Close() //nolint:errcheck // was only read
	image, err := blockdev.NewImage(file, bytes, o.Replace...)
	if err != nil {
		return Receipt{}, err
	}
	receipt := Receipt{Bytes: bytes, Verified: o.Verify}
	options := blockdev.WriteOptions{Verify: o.Verify, Progress: o.Progress}
	if !isDevice(o.Target) {
		return receipt, blockdev.WriteFile(ctx, o.Target, o.Overwrite, image, options)
	}
	receipt.Device, err = m.writeDevice(ctx, wish{o.Target, bytes, o.Confirm}, image, options)
	return receipt, err
}

// isDevice takes what is in /dev, there or not, for a device: a wrong name must never become a file.
func isDevice(path string) bool {
	stat, err := os.Stat(path)
	if err != nil {
		return strings.HasPrefix(path, "/dev/")
	}
	return stat.Mode().Type()&fs.ModeDevice != 0 || strings.HasPrefix(path, "/dev/")
}

func (m Room) writeDevice(ctx context.Context, w wish, image *blockdev.Image, o blockdev.WriteOptions) (hive.Device, error) {
	device, err := w.judge(ctx, m.Runner)
	if err != nil {
		return device, err
	}
	if w.Confirm != blockdev.Word(device) {
		return device, &UnconfirmedError{device, blockdev.Word(device)}
	}
	held, device, err := take(ctx, m.Runner, w)
	if forbidden(err) && len(m.Elevate) > 0 {
		return m.writePassed(ctx, w, device, image, o)
	}
	if err != nil {
		return device, err
	}
	return device, errors.Join(held.Write(ctx, image, o), held.Close())
}

// writePassed has the device opened by the privileged program.
func (m Room) writePassed(ctx context.Context, w wish, device hive.Device, image *blockdev.Image, o blockdev.WriteOptions) (hive.Device, error) {
	conn, ended, err := m.elevate(ctx, w)
	if err != nil {
		return device, err
	}
	a, file, err := receive(conn)
	silent := err != nil
	if err == nil {
		err = a.err()
	}
	if err == nil {
		device = a.Device
		err = writeAdopted(ctx, file, device, image, o)
	}
	err = errors.Join(err, conn.Close()) // now the other one reads the partition table, and ends
	if failed := <-ended; silent && failed != nil {
		err = failed // it never came to an answer: sudo was refused, or is not there
	}
	if silent {
		err = fmt.Errorf("open %s as root: %w", w.Path, err)
	}
	return device, err
}

func writeAdopted(ctx context.Context, file *os.File, device hive.Device, image *blockdev.Image, o blockdev.WriteOptions) error {
	if file == nil {
		return errors.New("the privileged program passed no device on")
	}
	held, err := blockdev.Adopt(file, device)
	if err != nil {
		return err
	}
	return errors.Join(held.Write(ctx, image, o), held.Close())
}

// elevate starts the privileged program. Ended tells its end, once.
func (m Room) elevate(ctx context.Context, w wish) (conn *net.UnixConn, ended <-chan error, err error) {
	// ours closes on exec; the other one becomes the program's stdin
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket for the privileged program: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "socket")
	conn, err = connection(os.NewFile(uintptr(pair[0]), "socket"))
	if err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	words := append(append([]string{}, m.Elevate[1:]...), append([]string{m.Self, OpenCommand}, w.arguments()...)...)
	c := run.Command{Name: m.Elevate[0], Args: words, Stdin: theirs, Interactive: true} // it may ask for a password
	end := make(chan error, 1)
	go func() {
		err := m.Runner.Run(ctx, c)
		_ = theirs.Close() // so that we read the end of it
		end <- err
	}()
	return conn, end, nil
}
