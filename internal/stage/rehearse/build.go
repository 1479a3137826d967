package rehearse

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/nix"
	"nixos-staged-hive/internal/progress"
)

// Built is what a host is rehearsed with: store paths.
type Built struct {
	Image string `json:"image"` // file of the installation image
	Mini  string `json:"mini"`
	Full  string `json:"full"`
	Kept  string `json:"kept"` // script for disks that are only mounted; empty without such disks
	// Secrets is a file that lists the files from which disko's script reads passphrases; empty without encrypted disks.
	Secrets string `json:"secrets"`
}

// spec is the entry of a host in the document that nix/stages/rehearsal.nix reads.
type spec struct {
	Key string `json:"key"` // line for root's authorized_keys
	needs
}

// builder builds what the hosts are rehearsed with, and remembers what was built from what: evaluating a host's three systems takes as long as
// a small build.
type builder struct {
	nix      nix.Client
	tree     string
	dir      string // of the rehearsal
	fresh    bool
	progress progress.Sink
	setup    string // see Rehearsal.Setup
	states   map[string]string
	// Files of the tree count too: they are ours, and come from another version of the program some day.
	treeSum string

	made atomic.Int64 // derivations that had to be built
}

// all builds for every guest, several at once: each evaluation keeps one processor busy.
func (b *builder) all(ctx context.Context, guests []*guest) error {
	specs := map[string]spec{}
	for _, g := range guests {
		specs[g.host.Name] = g.spec
	}
	text, err := json.MarshalIndent(specs, "", "  ")
	if err != nil {
		return fmt.Errorf("describe the rehearsal: %w", err)
	}
	document := filepath.Join(b.dir, "rehearsal.json")
	if err := os.WriteFile(document, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("describe the rehearsal: %w", err)
	}
	if b.treeSum, err = sumOfTree(b.tree); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	errs := make([]error, len(guests))
	for i, g := range guests {
		group.Go(func() error {
			errs[i] = b.one(ctx, g, document)
			return nil // the others are built nevertheless: all that is broken is told at once
		})
	}
	_ = group.Wait()
	return errors.Join(errs...)
}

func (b *builder) one(ctx context.Context, g *guest, document string) error {
	key := b.key(g)
	memory := filepath.Join(b.dir, "built", g.host.Name)
	if built, ok := b.recall(g, memory, key); ok {
		g.built = built
		return nil
	}
	built, err := b.build(ctx, g, document, memory)
	if err != nil {
		return fmt.Errorf("%s: %w", g.host.Name, err)
	}
	g.built = built
	return remember(memory, key, built)
}

// key sums up all that the builds of a host depend on; empty when that cannot be said. Other hosts count: a definition sees them as nodes.
func (b *builder) key(g *guest) string {
	if b.states[g.host.Name] == "" {
		return ""
	}
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(b.states)) {
		fmt.Fprintf(sum, "%s\x00%s\x00", name, b.states[name])
	}
	fmt.Fprintf(sum, "%s\x00%s\x00%s\x00%+v", b.treeSum, b.setup, g.host.Name, g.spec)
	return hex.EncodeToString(sum.Sum(nil))
}

// remembered is the file that tells what was built. Links beside it keep it from the garbage collector.
type remembered struct {
	Key   string `json:"key"`
	Built Built  `json:"built"`
}

// recall is what was built from the same, if it is all still there.
func (b *builder) recall(g *guest, memory, key string) (Built, bool) {
	text, err := os.ReadFile(filepath.Join(memory, "built.json"))
	var r remembered
	if b.fresh || key == "" || err != nil || json.Unmarshal(text, &r) != nil || r.Key != key {
		return Built{}, false
	}
	for _, link := range attributes(g.host) {
		if _, err := os.Stat(filepath.Join(memory, link)); err != nil {
			return Built{}, false
		}
	}
	return r.Built, true
}

// attributes are what is built of a host, see nix/stages/rehearsal.nix.
func attributes(h hive.Host) []string {
	names := []string{"iso", "mini", "full"}
	if keepsDisks(h) {
		names = append(names, "kept")
	}
	if encrypted(h) {
		names = append(names, "secrets")
	}
	return names
}

func remember(memory, key string, built Built) error {
	if key == "" {
		return nil
	}
	text, err := json.Marshal(remembered{key, built})
	if err == nil {
		err = os.WriteFile(filepath.Join(memory, "built.json"), append(text, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("remember what was built: %w", err)
	}
	return nil
}

func (b *builder) build(ctx context.Context, g *guest, document, memory string) (Built, error) {
	if err := os.MkdirAll(memory, 0o700); err != nil {
		return Built{}, fmt.Errorf("make room for what is built: %w", err)
	}
	// From here on the links may lead elsewhere than the file says.
	if err := os.Remove(filepath.Join(memory, "built.json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Built{}, fmt.Errorf("make room for what is built: %w", err)
	}
	job := nix.Build{
		File:     filepath.Join(b.tree, "_hive", "stages", "rehearsal.nix"),
		Args:     map[string]string{"tree": b.tree, "rehearsal": document, "setup": b.setup},
		Links:    map[string]string{},
		Progress: b.count, Host: g.host.Name,
	}
	for _, n := range attributes(g.host) {
		attr := nix.AttrPath(g.host.Name, n)
		job.Attrs = append(job.Attrs, attr)
		job.Links[attr] = filepath.Join(memory, n)
	}
	all, err := b.nix.Build(ctx, job)
	if err != nil {
		return Built{}, err
	}
	var built Built
	for i, place := range attributes(g.host) {
		switch place {
		case "mini":
			built.Mini = all[i].Output
		case "full":
			built.Full = all[i].Output
		case "kept":
			built.Kept = all[i].Output
		case "secrets":
			built.Secrets = all[i].Output
		}
	}
	images, err := filepath.Glob(filepath.Join(all[0].Output, "iso", "*.iso"))
	if err != nil || len(images) != 1 {
		return Built{}, fmt.Errorf("%s holds %d images, not one", all[0].Output, len(images))
	}
	built.Image = images[0]
	return built, checkBootable(built.Image)
}

// count passes events on and adds up what was built.
func (b *builder) count(e progress.Event) {
	if e.Task == "build" && e.State == progress.Done {
		b.made.Add(e.Done)
	}
	b.progress.Send(e)
}

// sumOfTree sums up the generated folder, all of which may be read by an evaluation.
func sumOfTree(dir string) (string, error) {
	sum := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		fmt.Fprintf(sum, "%s\x00%d\x00", path, len(text))
		sum.Write(text)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read the generated tree: %w", err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
