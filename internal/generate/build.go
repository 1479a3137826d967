package generate

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
)

// build makes the complete new tree in the folder fresh and brings it to the disk. It touches nothing else.
func (w writer) build(ctx context.Context, p *plan, old snapshot) error {
	folders := append([]string{"."}, p.allFolders()...)
	for _, name := range folders {
		if err := w.mkdir(path.Join(w.fresh(), name)); err != nil {
			return fmt.Errorf("create a new tree: %w", err)
		}
	}
	if err := w.fill(ctx, p); err != nil {
		return err
	}
	// rights come last and inner folders first: a folder may be one that nobody can write in
	for _, name := range slices.Backward(folders) {
		if err := w.settle(path.Join(w.fresh(), name), name, old); err != nil {
			return fmt.Errorf("create a new tree: %w", err)
		}
	}
	return nil
}

func (w writer) fill(ctx context.Context, p *plan) error {
	for _, name := range slices.Sorted(maps.Keys(p.write)) {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := w.create(path.Join(w.fresh(), name), p.write[name]); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.keep)) {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := w.take(path.Join(w.name, name), path.Join(w.fresh(), p.keep[name])); err != nil {
			return fmt.Errorf("take over %s: %w", name, err)
		}
	}
	return nil
}

func (w writer) settle(folder, name string, old snapshot) error {
	if mode, known := old.modeOf(name); known {
		if err := w.chmod(folder, mode); err != nil {
			return err
		}
	}
	return w.syncFolder(folder)
}
