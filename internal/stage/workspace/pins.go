package workspace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nixos-staged-hive/internal/pin"
	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/run"
)

// Pinner keeps the lock of a workspace.
type Pinner struct {
	Workspace *Workspace
	Run       run.Runner
	Progress  progress.Sink
	NixOS     pin.Source // zero: pin.NixOS
	Disko     pin.Source // zero: pin.Disko
}

// Pins are the sources everything is evaluated with. All of them are in the store.
type Pins struct {
	NixOS pin.Locked
	Disko pin.Locked
	Hosts map[string]pin.Locked // NixOS of hosts that have their own version
}

// NixOSFor is the NixOS a host is built from.
func (p Pins) NixOSFor(host string) pin.Locked {
	if own, ok := p.Hosts[host]; ok {
		return own
	}
	return p.NixOS
}

// want is a pin that versions.json asks for.
type want struct {
	source pin.Source
	spec   pin.Spec
}

// Pins gives the pinned sources of the named hosts (of all without names). What the lock does not have yet is looked up, fetched and
// locked; what it has is taken as it is, and fetched again only if it is no longer in the store. With everything in place it takes
// one run of nix-store and neither network nor a writable workspace.
//
// Errors: *Error if versions.json and the lock disagree, or the workspace cannot be written although it must be; those of pin.Fetcher.
func (p Pinner) Pins(ctx context.Context, hosts ...string) (Pins, error) {
	wants := p.wants(hosts)
	l, err := readLock(p.Workspace.Dir)
	if err != nil {
		return Pins{}, err
	}
	if err := disagreements(l, wants); err != nil {
		return Pins{}, err
	}
	ready, err := p.ready(ctx, l, wants)
	if err != nil {
		return Pins{}, err
	}
	if !ready {
		if l, err = p.complete(ctx, wants); err != nil {
			return Pins{}, err
		}
	}
	p.protect(ctx, l, wants)
	return collect(l, wants), nil
}

// wants lists the pins for the named hosts, or for all. A host that asks for the version the others have needs no pin of its own.
func (p Pinner) wants(hosts []string) []want {
	v := p.Workspace.Versions
	nixos, disko := p.sources()
	wants := []want{{nixos, v.NixOS}, {disko, v.Disko}}
	for _, h := range p.Workspace.Hosts {
		own := v.Hosts[h.Name].NixOS
		if own == nil || *own == v.NixOS || len(hosts) > 0 && !slices.Contains(hosts, h.Name) {
			continue
		}
		wants = append(wants, want{nixos.For(h.Name), *own})
	}
	return wants
}

func (p Pinner) sources() (nixos, disko pin.Source) {
	nixos, disko = p.NixOS, p.Disko
	if nixos == (pin.Source{}) {
		nixos = pin.NixOS()
	}
	if disko == (pin.Source{}) {
		disko = pin.Disko()
	}
	return nixos, disko
}

// disagreements are entries that versions.json has changed since. They are not simply renewed: what a host is built from changes by
// versions update alone.
func disagreements(l lock, wants []want) error {
	var problems []error
	for _, w := range wants {
		if have, locked := l.Pins[w.source.Key()]; locked && have.Spec != w.spec.Text {
			problems = append(problems, &Error{
				What: fmt.Sprintf("%s: %s says %s, %s has %s", w.source.Key(), VersionsName, w.spec.Text, LockName, have.Spec),
				Way:  "go to the new version with: nixos-staged-hive versions update " + w.source.Key(),
			})
		}
	}
	return errors.Join(problems...)
}

// ready reports whether every pin is locked and in the store.
func (p Pinner) ready(ctx context.Context, l lock, wants []want) (bool, error) {
	var paths []string
	for _, w := range wants {
		have, locked := l.Pins[w.source.Key()]
		if !locked {
			return false, nil
		}
		paths = append(paths, have.StorePath)
	}
	missing, err := p.fetcher().Missing(ctx, paths...)
	return len(missing) == 0, err
}

func (p Pinner) fetcher() pin.Fetcher {
	return pin.Fetcher{Run: p.Run, Progress: p.Progress, Dir: p.Workspace.Dir}
}

// complete adds what the lock does not have and restores what the store has lost. The lock is read again under the guard: another
// run may just have done the work. It is written after each pin, so that an interruption does not cost those that were done.
func (p Pinner) complete(ctx context.Context, wants []want) (lock, error) {
	release, err := p.guard(ctx)
	if err != nil && !readOnly(err) {
		return lock{}, err
	}
	if err == nil {
		defer release()
	}
	l, lockErr := readLock(p.Workspace.Dir)
	if lockErr != nil {
		return lock{}, lockErr
	}
	if err := disagreements(l, wants); err != nil {
		return lock{}, err
	}
	open := slices.DeleteFunc(slices.Clone(wants), func(w want) bool { _, locked := l.Pins[w.source.Key()]; return locked })
	if len(open) > 0 && err != nil {
		return lock{}, err // a read-only workspace only does when nothing is to be written
	}
	if err := p.addAll(ctx, l, open); err != nil {
		return lock{}, err
	}
	return l, p.restore(ctx, l, wants)
}

func (p Pinner) addAll(ctx context.Context, l lock, open []want) error {
	if len(open) == 0 {
		return nil
	}
	// Before minutes of fetching, find out whether the result can be kept.
	if err := probe(p.Workspace.Dir); err != nil {
		return err
	}
	for _, w := range open {
		if err := p.add(ctx, l, w); err != nil {
			return err
		}
	}
	return nil
}

// add locks one pin that is not locked yet.
func (p Pinner) add(ctx context.Context, l lock, w want) error {
	have, shared := sibling(l, w)
	if !shared {
		var err error
		if have, err = p.fetcher().Resolve(ctx, w.source, w.spec); err != nil {
			return err
		}
	}
	l.Pins[w.source.Key()] = have
	if err := l.write(p.Workspace.Dir); err != nil {
		return err
	}
	p.Progress.Send(progress.Event{
		Task: "lock " + w.source.Name, Host: w.source.Host, State: progress.Done,
		Text: fmt.Sprintf("%s was not locked yet: %s now has %s", w.spec.Text, LockName, identity(have)),
	})
	return nil
}

// sibling is an entry of the same source for the same spec: two hosts on one branch start at one revision.
func sibling(l lock, w want) (pin.Locked, bool) {
	for _, key := range sortedKeys(l.Pins) {
		name, _, _ := strings.Cut(key, "/")
		if name == w.source.Name && l.Pins[key].Spec == w.spec.Text {
			return l.Pins[key], true
		}
	}
	return pin.Locked{}, false
}

// identity is what a person recognises content by.
func identity(l pin.Locked) string {
	if l.Rev != "" {
		return l.Rev
	}
	return l.NarHash
}

func (p Pinner) restore(ctx context.Context, l lock, wants []want) error {
	lost, err := p.fetcher().Missing(ctx, paths(l, wants)...)
	if err != nil {
		return err
	}
	for _, w := range wants {
		have := l.Pins[w.source.Key()]
		if !slices.Contains(lost, have.StorePath) {
			continue
		}
		if err := p.fetcher().Restore(ctx, w.source, have); err != nil {
			return err
		}
		lost = slices.DeleteFunc(lost, func(s string) bool { return s == have.StorePath })
	}
	return nil
}

func paths(l lock, wants []want) []string {
	var all []string
	for _, w := range wants {
		all = append(all, l.Pins[w.source.Key()].StorePath)
	}
	return all
}

func collect(l lock, wants []want) Pins {
	pins := Pins{Hosts: make(map[string]pin.Locked)}
	for _, w := range wants {
		have := l.Pins[w.source.Key()]
		switch {
		case w.source.Host != "":
			pins.Hosts[w.source.Host] = have
		case w.source.Name == "disko":
			pins.Disko = have
		default:
			pins.NixOS = have
		}
	}
	return pins
}

// protect gives every pin a garbage collection root. Without one everything still works until the next collection, so a workspace
// that cannot take it only gets a warning.
func (p Pinner) protect(ctx context.Context, l lock, wants []want) {
	var open []want
	settled := p.settled()
	for _, w := range wants {
		if to, err := os.Readlink(p.root(w.source)); !settled || err != nil || to != l.Pins[w.source.Key()].StorePath {
			open = append(open, w)
		}
	}
	if len(open) == 0 {
		return
	}
	if err := p.plant(ctx, l, open); err != nil {
		p.Progress.Send(progress.Event{
			Task: "protect", State: progress.Warned, Err: err,
			Text: "the pinned sources are not protected from nix-collect-garbage, which makes them be fetched again",
		})
	}
}

func (p Pinner) plant(ctx context.Context, l lock, wants []want) error {
	if !p.settled() {
		_ = os.RemoveAll(p.rootsDir()) // links of another place; those still needed come back one by one
	}
	if err := os.MkdirAll(p.rootsDir(), 0o755); err != nil {
		return cannotWrite(p.Workspace.Dir, StateName+"/roots", err)
	}
	for _, w := range wants {
		if err := p.fetcher().Root(ctx, l.Pins[w.source.Key()].StorePath, p.root(w.source)); err != nil {
			return err
		}
	}
	return p.settle()
}

// settled reports whether the roots were made in this place. Nix knows a root by its path: in a copied or moved workspace the links
// look right and protect nothing.
func (p Pinner) settled() bool {
	place, err := os.ReadFile(p.placeFile())
	return err == nil && string(place) == p.rootsDir()+"\n"
}

func (p Pinner) settle() error {
	if p.settled() {
		return nil
	}
	if err := os.WriteFile(p.placeFile(), []byte(p.rootsDir()+"\n"), 0o644); err != nil {
		return cannotWrite(p.Workspace.Dir, StateName+"/roots", err)
	}
	return nil
}

func (p Pinner) rootsDir() string  { return p.Workspace.File(StateName, "roots") }
func (p Pinner) placeFile() string { return filepath.Join(p.rootsDir(), ".place") }

// root is the link of a pin; names of hosts have no slash, being names of files.
func (p Pinner) root(s pin.Source) string {
	return filepath.Join(p.rootsDir(), strings.ReplaceAll(s.Key(), "/", "-"))
}
