package setup

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/progress"
)

// finished is the state of the last event of a run.
const finished = "finished"

// recorder writes what happens to a file of events, a line of JSON each, from which anyone can follow: the screen, somebody over SSH, or both,
// also after being cut off. Numbers go on from the run before, so that "what follows the last I saw" has one meaning for as long as the medium
// runs.
type recorder struct {
	mu     sync.Mutex
	file   *os.File
	number int
	phase  string
	also   func(hive.SetupEvent) // nil: nobody
	moved  time.Time             // when a movement within a task was last written
}

// eventsFile is below Installer.Dir.
const eventsFile = "events.jsonl"

func openRecorder(dir string, also func(hive.SetupEvent)) (*recorder, error) {
	file, err := os.OpenFile(filepath.Join(dir, eventsFile), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	last := 0
	err = readEvents(file, func(e hive.SetupEvent) error {
		last = e.Number
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &recorder{file: file, number: last, also: also}, nil
}

func (r *recorder) close() error { return r.file.Close() }

// begin says that a phase begins; what sink is told belongs to it from then on.
func (r *recorder) begin(phase, text string) {
	r.mu.Lock()
	r.phase = phase
	r.mu.Unlock()
	r.write(hive.SetupEvent{State: string(progress.Started), Text: text})
}

// end says how the phase ended.
func (r *recorder) end(text string, err error) {
	e := hive.SetupEvent{State: string(progress.Done), Text: text}
	if err != nil {
		e.State, e.Error, e.Way = string(progress.Failed), err.Error(), wayOf(err)
	}
	r.write(e)
}

// sink takes the events of those who do the work of a phase. Movements are written four times a second at most.
func (r *recorder) sink(e progress.Event) {
	if e.State == progress.Running {
		r.mu.Lock()
		skip := e.Done != e.Total && time.Since(r.moved) < 250*time.Millisecond
		if !skip {
			r.moved = time.Now()
		}
		r.mu.Unlock()
		if skip {
			return
		}
	}
	// the phase is what starts and ends; its tasks are movements within
	state := progress.Running
	if e.State == progress.Warned {
		state = progress.Warned
	}
	line := hive.SetupEvent{State: string(state), Done: e.Done, Total: e.Total, Text: e.Text}
	if line.Text == "" {
		line.Text = e.Task
	}
	if e.Err != nil {
		line.Error = e.Err.Error()
	}
	r.write(line)
}

func (r *recorder) warn(text string) {
	r.write(hive.SetupEvent{State: string(progress.Warned), Text: text})
}

// finish writes the last event of a run.
func (r *recorder) finish(text string, err error, code int) {
	e := hive.SetupEvent{State: finished, Text: text, Code: code}
	if err != nil {
		e.Error, e.Way = err.Error(), wayOf(err)
	}
	r.write(e)
}

// write numbers and writes an event. That it cannot be written is no reason to end an installation: the disks matter more.
func (r *recorder) write(e hive.SetupEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.number++
	e.Number, e.Time = r.number, time.Now().UTC().Truncate(time.Millisecond)
	if e.Phase == "" {
		e.Phase = r.phase
	}
	if line, err := json.Marshal(e); err == nil {
		_, _ = r.file.Write(append(line, '\n'))
	}
	if r.also != nil {
		r.also(e)
	}
}

// readEvents calls each with the whole lines of r. A last line without its end is still being written.
func readEvents(r io.Reader, each func(hive.SetupEvent) error) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		var e hive.SetupEvent
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		if err := each(e); err != nil {
			return err
		}
	}
}

// lastEvents are the numbers of the last event, and of the last one that ended a run.
func (in Installer) lastEvents() (last, ended int, err error) {
	file, err := os.Open(in.file(eventsFile))
	if errors.Is(err, os.ErrNotExist) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	err = readEvents(file, func(e hive.SetupEvent) error {
		last = e.Number
		if e.State == finished {
			ended = e.Number
		}
		return nil
	})
	return last, ended, err
}

// ErrEnded is a run that ended without a last word: it was killed.
var ErrEnded = errors.New("the installation ended without saying so: setup was killed")

// errFinished ends Follow at the last event of a run.
var errFinished = errors.New("finished")

// Follow calls each with the events after the one with this number, those that were and those that come, until a run is finished. It waits
// for a run that has not begun. The error is ErrEnded when a run was killed.
func (in Installer) Follow(ctx context.Context, after int, each func(hive.SetupEvent)) error {
	events := tail{name: in.file(eventsFile)}
	defer events.close()
	begun := false
	look := func(e hive.SetupEvent) error {
		if e.Number <= after {
			return nil
		}
		begun = true
		each(e)
		if e.State == finished {
			return errFinished
		}
		return nil
	}
	for {
		// in this order: a run that ends between the two has written its last event
		running := in.Running()
		err := events.read(look)
		switch {
		case errors.Is(err, errFinished):
			return nil
		case err != nil:
			return err
		case begun && !running:
			return ErrEnded
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("follow the installation: %w", context.Cause(ctx))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// tail reads a file of events that grows, each event once: they are thousands in the end, and followers on the machine that is installed
// take processor time from the installation.
type tail struct {
	name string
	file *os.File
	part []byte // of a line that is still being written
}

// read calls each with the events that came since the last time. A file that is not there yet has none.
func (t *tail) read(each func(hive.SetupEvent) error) error {
	if t.file == nil {
		file, err := os.Open(t.name)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		t.file = file
	}
	more, err := io.ReadAll(t.file)
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	text := append(t.part, more...)
	end := bytes.LastIndexByte(text, '\n') + 1
	t.part = slices.Clone(text[end:])
	return readEvents(bytes.NewReader(text[:end]), each)
}

func (t *tail) close() {
	if t.file != nil {
		_ = t.file.Close() // it was only read
	}
}
