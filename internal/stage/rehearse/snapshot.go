package rehearse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"nixos-staged-hive/internal/vm"
)

// save keeps the machine as it is at the end of a stage. A machine that cannot be saved while it runs can still be rehearsed.
func (g *guest) save(ctx context.Context) (string, error) {
	var unsavable *vm.UnsavableError
	switch err := g.running.Save(ctx, string(g.stage)); {
	case errors.As(err, &unsavable) && g.stage == Mini:
		return "as it was before its first start: QEMU cannot save it while it runs", nil
	case errors.As(err, &unsavable):
		return "not possible with such disks", nil
	case err != nil:
		return "", fmt.Errorf("save the machine: %w", err)
	}
	return "", g.note(g.stage)
}

// saveInstalled keeps a machine that is off, for those that cannot be saved later.
func (g *guest) saveInstalled(ctx context.Context) error {
	if err := g.lab.SaveDisks(ctx, g.machine, string(Mini)); err != nil {
		return fmt.Errorf("save the disks: %w", err)
	}
	return g.note(Mini)
}

// resume goes back to what was saved at the end of a stage, if it was made of the same as a rehearsal of today would be.
func (g *guest) resume(ctx context.Context) (string, error) {
	all, err := g.lab.Snapshots(g.machine.Name)
	if err != nil {
		return "", fmt.Errorf("look for what was saved: %w", err)
	}
	again := fmt.Sprintf("rehearse it without --from %s", g.stage)
	i := slices.IndexFunc(all, func(s vm.Snapshot) bool { return s.Tag == string(g.stage) })
	if i < 0 {
		return "", &hinted{fmt.Errorf("nothing was saved at the end of stage %s", g.stage), again}
	}
	saved, err := g.noted()
	if err != nil {
		return "", err
	}
	want, machine := g.made(g.stage), g.machine
	if g.stage == Medium {
		machine.Medium = g.built.Image
	}
	if saved[g.stage] != want {
		return "", &hinted{fmt.Errorf("what was saved at the end of stage %s is of another definition or version: then %s, now %s", g.stage, saved[g.stage], want), again}
	}
	if all[i].Live && !reflect.DeepEqual(all[i].Machine, machine) {
		return "", &hinted{fmt.Errorf("what was saved at the end of stage %s is of a machine that looked different", g.stage), again}
	}
	if err := g.start(ctx, g.stage == Medium, vm.StartOptions{From: all[i].Tag}); err != nil {
		return "", err
	}
	if _, err := g.login(ctx); err != nil || g.stage != Medium {
		return "", err
	}
	return g.checkMedium(ctx)
}

// made names what a saved stage was made of.
func (g *guest) made(s Stage) string {
	if s == Medium {
		return g.built.Image
	}
	return g.built.Mini
}

func (g *guest) notes() string { return filepath.Join(g.dir, "saved", g.host.Name+".json") }

// note writes down what a saved stage was made of.
func (g *guest) note(s Stage) error {
	saved, err := g.noted()
	if err != nil {
		return err
	}
	saved[s] = g.made(s)
	text, err := json.MarshalIndent(saved, "", "  ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(g.notes()), 0o700)
	}
	if err == nil {
		err = os.WriteFile(g.notes(), append(text, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("note what was saved: %w", err)
	}
	return nil
}

func (g *guest) noted() (map[Stage]string, error) {
	saved := map[Stage]string{}
	text, err := os.ReadFile(g.notes())
	if errors.Is(err, os.ErrNotExist) {
		return saved, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &saved)
	}
	if err != nil {
		return nil, fmt.Errorf("read what was saved: %w", err)
	}
	return saved, nil
}

// hinted is an error that knows its way out.
type hinted struct {
	error
	hint string
}

// Hint is what to do about it.
func (h *hinted) Hint() string { return h.hint }

// Unwrap gives the error.
func (h *hinted) Unwrap() error { return h.error }
