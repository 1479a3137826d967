package blockdev

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"

	"nixos-staged-hive/internal/progress"
)

const (
	// chunk is how much is written at once, in bytes.
	chunk = 4 << 20
	// front is what firmware, boot loaders and kernels look at first: both kinds of partition table, the volume descriptor of an ISO, and
	// nearly all signatures. While it is zeros, nothing starts from the device.
	front = 1 << 20
	// rear is where the backup of a GPT is, and what md and ZFS write to the end.
	rear = 1 << 20
)

// The tasks that [Write] tells the progress of, in bytes.
const (
	TaskWrite  = "write"
	TaskVerify = "verify"
)

// Target is where an image goes: a [Held] device, or a file.
type Target interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
}

// VerifyError is a medium that does not give back what was written to it.
type VerifyError struct {
	Offset int64 // of the first byte that differs
}

func (e *VerifyError) Error() string {
	return fmt.Sprintf("read back: byte %d differs: the medium is broken, or not as large as it says", e.Offset)
}

// UnfinishedError is a medium that was begun and does not hold the image. Its first MiB is zeros: no machine starts from it, and nothing
// takes it for the image.
type UnfinishedError struct {
	Path  string
	Err   error
	Blank bool // false: not even the first MiB could be made zeros again
}

func (e *UnfinishedError) Error() string {
	state := "holds no image, and nothing starts from it"
	if !e.Blank {
		state = "is in an unknown state; do not start from it"
	}
	return fmt.Sprintf("write %s: %v; it %s", e.Path, e.Err, state)
}

// Unwrap gives what went wrong.
func (e *UnfinishedError) Unwrap() error { return e.Err }

// WriteOptions say how an image is written.
type WriteOptions struct {
	Verify   bool // read everything back
	Progress progress.Sink
}

// Write puts the image on the device. The beginning of the device becomes zeros first and is written last, after everything else was
// written and, if wanted, read back: whenever it ends before, by an error, the end of ctx or of this program, or of the power, the device
// does not boot. Such an end is an *UnfinishedError; it wraps *VerifyError where what was read back differs. What an earlier partition table,
// array or pool has left at the end of the device is gone, too.
//
// Progress counts bytes that the device has taken.
func (h *Held) Write(ctx context.Context, image *Image, o WriteOptions) error {
	if image.Bytes() > h.Bytes {
		return &RefusedError{Path: h.Path, Reasons: []Reason{tooSmall(h.Bytes, image.Bytes())}}
	}
	w := newWriter(image, h, h.Sector, o)
	err := h.erase(image.Bytes())
	w.blank = err == nil
	if err == nil {
		err = w.run(ctx)
	}
	if err != nil {
		blank := h.blankFront() == nil || w.blank
		return w.fail(&UnfinishedError{h.Path, err, blank})
	}
	_ = h.Reread() // without privileges udev does it, when the device is closed
	return nil
}

func (h *Held) blankFront() error {
	return errors.Join(zero(h, 0, min(front, h.Bytes)), h.Sync())
}

// erase makes the beginning zeros, and of the end what the image does not reach.
func (h *Held) erase(image int64) error {
	err := h.blankFront()
	from := max(image+h.Sector-1, h.Bytes-rear) / h.Sector * h.Sector
	if err == nil && from < h.Bytes {
		err = zero(h, from, h.Bytes-from)
	}
	if err == nil {
		err = h.Sync()
	}
	if err != nil {
		return fmt.Errorf("erase what was there: %w", err)
	}
	return nil
}

func zero(to io.WriterAt, at, bytes int64) error {
	if _, err := to.WriteAt(Buffer(int(bytes)), at); err != nil {
		return fmt.Errorf("write zeros: %w", err)
	}
	return nil
}

// writer is one run of writing.
type writer struct {
	image   *Image
	to      Target
	sector  int64 // bytes
	options WriteOptions
	sums    map[int64][sha256.Size]byte // of each piece, by offset; only to verify
	open    []string                    // tasks that are begun and not ended
	back    []byte                      // what is read back comes here
	blank   bool                        // the beginning of the target is zeros for sure
}

// piece is a part of the image in a buffer, padded with zeros to whole sectors.
type piece struct {
	at    int64
	bytes []byte
	err   error
}

func newWriter(image *Image, to Target, sector int64, o WriteOptions) *writer {
	return &writer{image: image, to: to, sector: sector, options: o, sums: map[int64][sha256.Size]byte{}, back: Buffer(chunk)}
}

func (w *writer) run(ctx context.Context) error {
	first := w.load(Buffer(front), 0)
	if first.err != nil {
		return first.err
	}
	w.tell(TaskWrite, progress.Started, 0)
	steps := []func(context.Context) error{
		w.rest,
		w.sync,
		w.verifyRest,
		func(ctx context.Context) error { return w.finish(ctx, first) },
		w.sync,
		func(context.Context) error { return w.verify(first.at, len(first.bytes)) },
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	for _, task := range slices.Clone(w.open) {
		w.tell(task, progress.Done, w.image.Bytes())
	}
	return nil
}

// finish writes the first piece.
func (w *writer) finish(ctx context.Context, first piece) error {
	w.blank = false
	return w.store(ctx, first)
}

func (w *writer) tell(task string, state progress.State, done int64) {
	switch {
	case state == progress.Started:
		w.open = append(w.open, task)
	case state.Ends():
		w.open = slices.DeleteFunc(w.open, func(o string) bool { return o == task })
	}
	w.options.Progress.Send(progress.Event{Task: task, State: state, Done: done, Total: w.image.Bytes()})
}

// fail ends what was begun, and gives the error back.
func (w *writer) fail(err error) error {
	for _, task := range w.open {
		w.options.Progress.Send(progress.Event{Task: task, State: progress.Failed, Err: err})
	}
	return err
}

func (w *writer) sync(context.Context) error { return w.to.Sync() }

// next is where the piece after the one at an offset begins: the first MiB is one, then come whole chunks of the device.
func next(at int64) int64 {
	if at < front {
		return front
	}
	return (at/chunk + 1) * chunk
}

// rest writes all but the first piece. It reads ahead, so that source and device work at the same time.
func (w *writer) rest(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	free, full := make(chan []byte, 3), make(chan piece, 3)
	for range cap(free) {
		free <- Buffer(chunk)
	}
	go w.readAhead(ctx, free, full)
	err := w.drain(ctx, free, full)
	stop()
	for range full { // until it has ended
	}
	return err
}

func (w *writer) readAhead(ctx context.Context, free <-chan []byte, full chan<- piece) {
	defer close(full)
	for at := next(0); at < w.image.Bytes(); at = next(at) {
		select {
		case b := <-free:
			full <- w.load(b[:next(at)-at], at) // never waits: there are as many places as buffers
		case <-ctx.Done():
			return
		}
	}
}

func (w *writer) drain(ctx context.Context, free chan<- []byte, full <-chan piece) error {
	for p := range full {
		err := p.err
		if err == nil {
			err = w.store(ctx, p)
		}
		if err != nil {
			return err
		}
		w.tell(TaskWrite, progress.Running, min(p.at+int64(len(p.bytes)), w.image.Bytes())-front)
		free <- p.bytes[:chunk]
	}
	return context.Cause(ctx)
}

// load reads the image at an offset into b, and remembers the sum of it.
func (w *writer) load(b []byte, at int64) piece {
	n, err := w.image.ReadAt(b, at)
	if err != nil && !errors.Is(err, io.EOF) {
		return piece{err: err}
	}
	padded := (int64(n) + w.sector - 1) / w.sector * w.sector
	clear(b[n:padded])
	p := piece{at: at, bytes: b[:padded]}
	if w.options.Verify {
		w.sums[at] = sha256.Sum256(p.bytes)
	}
	return p
}

func (w *writer) store(ctx context.Context, p piece) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if _, err := w.to.WriteAt(p.bytes, p.at); err != nil {
		return fmt.Errorf("write %d bytes at %d: %w", len(p.bytes), p.at, err)
	}
	return nil
}

// verifyRest reads back all but the first piece.
func (w *writer) verifyRest(ctx context.Context) error {
	if !w.options.Verify {
		return nil
	}
	w.tell(TaskVerify, progress.Started, 0)
	for at := next(0); at < w.image.Bytes(); at = next(at) {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		if err := w.verify(at, int(next(at)-at)); err != nil {
			return err
		}
		w.tell(TaskVerify, progress.Running, min(next(at), w.image.Bytes())-front)
	}
	return nil
}

// verify reads one piece back.
func (w *writer) verify(at int64, bytes int) error {
	if !w.options.Verify {
		return nil
	}
	b := w.back[:bytes]
	padded := (min(int64(bytes), w.image.Bytes()-at) + w.sector - 1) / w.sector * w.sector
	if _, err := w.to.ReadAt(b[:padded], at); err != nil {
		return fmt.Errorf("read back %d bytes at %d: %w", padded, at, err)
	}
	if sha256.Sum256(b[:padded]) != w.sums[at] {
		return &VerifyError{at + w.differs(b[:padded], at)}
	}
	return nil
}

// differs finds the first byte that is not the image's; the piece's first if the image has changed meanwhile.
func (w *writer) differs(got []byte, at int64) int64 {
	want := make([]byte, len(got))
	if _, err := w.image.ReadAt(want, at); err != nil && !errors.Is(err, io.EOF) {
		return 0
	}
	for i := range got {
		if got[i] != want[i] {
			return int64(i)
		}
	}
	return 0
}
