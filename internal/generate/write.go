package generate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"nixos-staged-hive/internal/progress"
)

// Options change what [Write] does.
type Options struct {
	// Only names the hosts whose folders are written; empty is all of them. What hosts share is written in any case, and folders
	// of hosts that are gone stay when Only is set.
	Only []string
	// Force overwrites files that were edited by hand. Each edited version is kept beside the new one as FILE.edited-N.
	Force bool
	// DryRun finds out what would be done, and does nothing.
	DryRun   bool
	Progress progress.Sink
}

// Report says what [Write] did, as sorted paths below the generated folder.
type Report struct {
	Written    []string // new, or with another content than before
	Unchanged  []string // left as they were, modification time included
	Removed    []string // generated earlier and not wanted any more
	HandEdited []string // edited by hand and, with Options.Force, overwritten
	Backups    []string // where edited versions, and files of the original project, are kept now
	Kept       []string // folders of hosts that are gone, because the user has files there
	Recovered  []string // files that a killed run or a writer beside us left behind, brought back
	Leftover   string   // absolute path of what could not be cleaned up, with Problem
	Problem    error    // why Leftover is still there; the tree itself is complete
}

// Changed reports whether anything was written or removed.
func (r Report) Changed() bool {
	return len(r.Written)+len(r.Removed)+len(r.Backups) > 0
}

// Write makes dir, the generated folder of a workspace, hold tree. Files in dir that are not ours stay: hardware-configuration.nix,
// links to build results, and whatever else the user put there.
//
// A reader sees the old tree or the new one, whenever this process ends and however: the new folder is complete and on disk before
// it takes the place of the old one. When nothing changes nothing is written. One run works at a time on one workspace (an advisory
// lock on the workspace's folder, held for the machine); others wait until ctx ends.
//
// Errors: [HandEditedError], [PlaceError], and what the file system says, with the tree as it was.
func Write(ctx context.Context, dir string, tree Tree, o Options) (Report, error) {
	return write(ctx, dir, tree, o, disk{})
}

// write is Write with a disk whose steps a test can watch and break.
func write(ctx context.Context, dir string, tree Tree, o Options, d disk) (Report, error) {
	for _, name := range o.Only {
		if !slices.Contains(tree.Hosts, name) {
			return Report{}, fmt.Errorf("generate: host %q: the hive has no such host", name)
		}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Report{}, fmt.Errorf("generate: %w", err)
	}
	o.Progress.Send(progress.Event{Task: "generate", State: progress.Started, Total: int64(len(tree.Files))})
	report, err := writeLocked(ctx, dir, tree, o, d)
	if err != nil {
		err = fmt.Errorf("generate %s: %w", dir, err)
		o.Progress.Send(progress.Event{Task: "generate", State: progress.Failed, Err: err})
		return Report{}, err
	}
	o.Progress.Send(progress.Event{
		Task: "generate", State: progress.Done, Done: int64(len(tree.Files)), Total: int64(len(tree.Files)),
		Text: fmt.Sprintf("%d written, %d unchanged, %d removed", len(report.Written), len(report.Unchanged), len(report.Removed)),
	})
	return report, nil
}

func writeLocked(ctx context.Context, dir string, tree Tree, o Options, d disk) (Report, error) {
	root, err := os.OpenRoot(filepath.Dir(dir))
	if err != nil {
		return Report{}, fmt.Errorf("open the workspace: %w", err)
	}
	defer root.Close() //nolint:errcheck // only read through
	release, err := lock(ctx, root, o.Progress)
	if err != nil {
		return Report{}, err
	}
	defer release()
	d.root = root
	return writer{disk: d, name: filepath.Base(dir), workspace: filepath.Dir(dir)}.run(ctx, tree, o)
}

// writer lays a tree out as folder name of one workspace.
type writer struct {
	disk
	name      string // of the generated folder, relative to root
	workspace string // absolute, for messages
}

// The folders beside the generated one while a run works; see recover.go.
func (w writer) fresh() string { return "." + w.name + ".new" }

func (w writer) run(ctx context.Context, tree Tree, o Options) (Report, error) {
	var report Report
	if !o.DryRun {
		if err := w.recover(&report); err != nil {
			return Report{}, fmt.Errorf("clean up after an interrupted run: %w", err)
		}
	}
	old, err := w.snapshot(tree)
	if err != nil {
		return Report{}, err
	}
	p, err := decide(tree, old, o)
	if err != nil {
		return Report{}, err
	}
	p.report.Recovered, p.report.Leftover, p.report.Problem = report.Recovered, report.Leftover, report.Problem
	if !p.changes || o.DryRun {
		return p.report, nil
	}
	return p.report, w.replace(ctx, p, old)
}

// replace builds the new folder, exchanges it with the old one and removes that. Until the exchange an error leaves all as it was;
// after it the new tree stands, and what cannot be cleaned up is only reported.
func (w writer) replace(ctx context.Context, p *plan, old snapshot) error {
	aside, err := w.bring(ctx, p, old)
	if err != nil {
		if _, cleanErr := w.leftovers(); cleanErr != nil {
			err = errors.Join(err, fmt.Errorf("remove the unfinished tree: %w", cleanErr))
		}
		return fmt.Errorf("%w; the tree is as it was", err)
	}
	if aside != "" {
		w.clean(aside, &p.report)
	}
	return nil
}

func (w writer) bring(ctx context.Context, p *plan, old snapshot) (aside string, err error) {
	if err := w.build(ctx, p, old); err != nil {
		return "", err
	}
	if err := context.Cause(ctx); err != nil {
		return "", err
	}
	return w.swap(old.exists)
}

// clean sweeps a replaced tree and notes in the report what stays.
func (w writer) clean(aside string, report *Report) {
	recovered, err := w.sweep(aside)
	report.Recovered = append(report.Recovered, recovered...)
	if err != nil {
		report.Leftover = filepath.Join(w.workspace, aside)
		report.Problem = fmt.Errorf("clean up %s: %w", report.Leftover, err)
	}
}
