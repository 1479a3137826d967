package workspace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"nixos-staged-hive/internal/pin"
	"nixos-staged-hive/internal/run"
)

// PinState says how a pin stands.
type PinState string

// How a pin can stand.
const (
	NotLocked PinState = "not locked" // it will be looked up at first use
	Locked    PinState = "locked"
	Outdated  PinState = "outdated" // versions.json says something else than the lock
)

// Row is one pin for a table.
type Row struct {
	Pin       string   `json:"pin"`       // "nixos", "disko", "k3s", or "nixos/HOST"
	Spec      string   `json:"spec"`      // as versions.json has it
	State     PinState `json:"state"`     // K3s is its own version and always locked
	LockSpec  string   `json:"lockSpec"`  // as the lock has it; differs from Spec when outdated
	Rev       string   `json:"rev"`       // commit; for K3s the version as its releases spell it
	NarHash   string   `json:"narHash"`   // SRI
	StorePath string   `json:"storePath"` // where the tree is, or will be again
	Present   bool     `json:"present"`   // it is in the store
	Release   string   `json:"release"`   // version the tree says it has, if it is present
}

// Identity is the short form of what the pin stands for; empty if it is not locked.
func (r Row) Identity() string {
	switch {
	case r.Pin == "k3s":
		return r.Rev
	case r.Rev != "":
		return r.Rev[:min(12, len(r.Rev))]
	default:
		return r.NarHash
	}
}

// Change is what an update did to one pin.
type Change struct {
	Old Row `json:"old"` // State is NotLocked if there was none
	New Row `json:"new"`
}

// Changed reports whether the pin now stands for other content.
func (c Change) Changed() bool { return c.Old.NarHash != c.New.NarHash || c.Old.Rev != c.New.Rev }

// Show lists all pins as they are, K3s last. It changes nothing and fetches nothing. Without Nix on the machine nothing is present.
func (p Pinner) Show(ctx context.Context) ([]Row, error) {
	l, err := readLock(p.Workspace.Dir)
	if err != nil {
		return nil, err
	}
	wants := p.wants(nil)
	locked := slices.DeleteFunc(slices.Clone(wants), func(w want) bool { _, ok := l.Pins[w.source.Key()]; return !ok })
	missing, err := p.fetcher().Missing(ctx, paths(l, locked)...)
	if _, noNix := errors.AsType[*run.MissingError](err); noNix {
		missing = paths(l, locked)
	} else if err != nil {
		return nil, err
	}
	var rows []Row
	for _, w := range wants {
		r := row(l, w)
		if r.StorePath != "" && !slices.Contains(missing, r.StorePath) {
			r.Present, r.Release = true, pin.Release(r.StorePath)
		}
		rows = append(rows, r)
	}
	return append(rows, p.k3s()), nil
}

func row(l lock, w want) Row {
	r := Row{Pin: w.source.Key(), Spec: w.spec.Text, State: NotLocked}
	have, ok := l.Pins[w.source.Key()]
	if !ok {
		return r
	}
	r.State, r.LockSpec, r.Rev, r.NarHash, r.StorePath = Locked, have.Spec, have.Rev, have.NarHash, have.StorePath
	if have.Spec != w.spec.Text {
		r.State = Outdated
	}
	return r
}

func (p Pinner) k3s() Row {
	v := p.Workspace.Versions
	return Row{Pin: "k3s", Spec: v.K3sText, State: Locked, LockSpec: v.K3sText, Rev: v.K3s.String(), Release: v.K3s.String()}
}

// Update looks up again what the named pins stand for (all pins without names), fetches it and locks it. A name is nixos, disko, k3s,
// nixos/HOST, or HOST for a host with its own version. Entries that nothing asks for any more are dropped when everything is updated.
// On an error the changes made so far are returned with it; each is complete.
func (p Pinner) Update(ctx context.Context, which ...string) ([]Change, error) {
	wants, k3s, err := p.named(which)
	if err != nil {
		return nil, err
	}
	release, err := p.guard(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	l, err := readLock(p.Workspace.Dir)
	if err != nil {
		return nil, err
	}
	changes, err := p.renew(ctx, l, wants)
	if err != nil {
		return changes, err
	}
	if len(which) == 0 {
		if err := p.prune(l); err != nil {
			return changes, err
		}
	}
	if k3s {
		changes = append(changes, Change{Old: p.k3s(), New: p.k3s()})
	}
	p.protect(ctx, l, wants)
	return changes, nil
}

// renew looks up and locks each pin. Hosts on the same version get the same revision, even if it moves on meanwhile.
func (p Pinner) renew(ctx context.Context, l lock, wants []want) ([]Change, error) {
	if err := probe(p.Workspace.Dir); err != nil {
		return nil, err
	}
	type request struct{ name, spec string }
	fetched := make(map[request]pin.Locked)
	var changes []Change
	for _, w := range wants {
		old := row(l, w)
		r := request{w.source.Name, w.spec.Text}
		fresh, done := fetched[r]
		if !done {
			var err error
			if fresh, err = p.fetcher().Resolve(ctx, w.source, w.spec); err != nil {
				return changes, err
			}
			fetched[r] = fresh
		}
		l.Pins[w.source.Key()] = fresh
		if err := l.write(p.Workspace.Dir); err != nil {
			return changes, err
		}
		now := row(l, w)
		now.Present, now.Release = true, pin.Release(now.StorePath)
		changes = append(changes, Change{Old: old, New: now})
	}
	return changes, nil
}

// prune drops entries, and their roots, that versions.json does not ask for any more.
func (p Pinner) prune(l lock) error {
	asked := make(map[string]bool)
	for _, w := range p.wants(nil) {
		asked[w.source.Key()] = true
	}
	for _, key := range sortedKeys(l.Pins) {
		if !asked[key] {
			delete(l.Pins, key)
			_ = os.Remove(p.root(pin.Source{Name: key}))
		}
	}
	return l.write(p.Workspace.Dir)
}

// named turns names into pins, in the order of the table.
func (p Pinner) named(which []string) (wants []want, k3s bool, err error) {
	all := p.wants(nil)
	if len(which) == 0 {
		return all, true, nil
	}
	var problems []error
	chosen := make(map[string]bool)
	for _, name := range which {
		key, err := p.key(name, all)
		problems = append(problems, err)
		chosen[key] = true
	}
	for _, w := range all {
		if chosen[w.source.Key()] {
			wants = append(wants, w)
		}
	}
	return wants, chosen["k3s"], errors.Join(problems...)
}

// key is the pin a name means. nixos, disko and k3s come before hosts that are called so.
func (p Pinner) key(name string, all []want) (string, error) {
	names := []string{"k3s"}
	for _, w := range all {
		if name == w.source.Key() {
			return name, nil
		}
		names = append(names, w.source.Key())
	}
	if name == "k3s" {
		return name, nil
	}
	for _, w := range all {
		if w.source.Host != "" && name == w.source.Host {
			return w.source.Key(), nil
		}
	}
	if slices.Contains(p.Workspace.Names(), name) {
		return "", &Error{
			What: fmt.Sprintf("host %s has no version of NixOS of its own", name),
			Way:  fmt.Sprintf("it follows the others: nixos-staged-hive versions update nixos; its own would be hosts.%s.nixos in %s", name, VersionsName),
		}
	}
	return "", &Error{
		What: fmt.Sprintf("there is no pin %s%s", name, didYouMean(name, append(names, p.Workspace.Names()...))),
		Way:  "pins are nixos, disko, k3s, and hosts with a version of their own",
	}
}
