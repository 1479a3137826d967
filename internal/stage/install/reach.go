package install

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"nixos-staged-hive/internal/discovery"
	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/remote"
	"nixos-staged-hive/internal/run"
)

// Login is how machines are logged in to.
type Login struct {
	Local run.Runner // runs ssh on this computer
	// User is who logs in; on a medium that is root.
	User          string
	IdentityFiles []string // as in remote.Target
	UserConfig    string   // as in remote.Options
	// ConnectTimeout and KeepAlive are as in remote.Options; a connection that is silent for three times KeepAlive is lost.
	ConnectTimeout, KeepAlive time.Duration
}

// Find finds media on the network: discovery.Find.
type Find func(ctx context.Context, timeout time.Duration) ([]discovery.Medium, error)

// Quest says which medium is looked for, and whom to believe.
type Quest struct {
	Login

	Host hive.Host
	// Addresses are those that the user gave: NAME, ADDRESS, ADDRESS:PORT. With any of them nothing else is tried.
	Addresses []string
	Find      Find // nil does not look on the network

	HostKey string // the workspace's public key of the host, which a medium of its own shows; empty if there is none
	// Fingerprint is what the user read on the machine's screen (SHA256:...): a medium for several hosts makes its key when it starts. Empty if
	// that was not asked.
	Fingerprint string
	// Trust is asked about a key that is neither HostKey nor has Fingerprint, whether the machine's screen shows this fingerprint. Nil trusts nobody.
	Trust func(ctx context.Context, address, fingerprint string) (bool, error)

	// Patience is how long to look for a machine that is not there yet: 0 is a single round.
	Patience time.Duration
	Progress progress.Sink
}

// Medium is a machine that was started from a medium with the host on it, and is the one that it says it is.
type Medium struct {
	Runner      run.Runner // on the machine, as root
	Address     string     // where it was reached, without port
	Port        int
	Manifest    hive.Manifest
	Host        hive.MediumHost
	Fingerprint string // of the key it showed
	Pinned      bool   // the key is the workspace's own, so that the mini system will have the same
	BootID      string // of this start of the machine

	close func() error
}

// Close forgets how the machine is reached.
func (m *Medium) Close() error { return m.close() }

// UnreachedError is a machine that was not found, with all that was tried.
type UnreachedError struct {
	Host     string
	Tried    []Observation
	Searched bool // the network was asked for media, too
}

func (e *UnreachedError) Error() string {
	lines := []string{"no medium for " + e.Host + " was reached"}
	for _, o := range e.Tried {
		lines = append(lines, o.Address+" ("+o.Why+"): "+o.Said)
	}
	return strings.Join(lines, "\n")
}

// Hint says what the user can do.
func (e *UnreachedError) Hint() string {
	var hints []string
	for _, o := range e.Tried {
		if o.Advice != "" && !slices.Contains(hints, o.Advice) {
			hints = append(hints, o.Advice)
		}
	}
	if len(hints) == 0 || !slices.ContainsFunc(e.Tried, func(o Observation) bool { return o.Final }) {
		hints = append(hints, "start the machine from its medium; its screen shows the address: `--remote ADDRESS`")
	}
	return strings.Join(hints, "\n")
}

// roundPause is how long to wait between two rounds of trying all addresses.
const roundPause = 2 * time.Second

// searchTime is how long media on the network may take to answer.
const searchTime = 3 * time.Second

// Reach finds the medium of a host. Its errors are *UnreachedError, and what stands in the way on this computer.
func Reach(ctx context.Context, q Quest) (*Medium, error) {
	began := time.Now()
	q.Progress.Send(progress.Event{Task: reachTask, Host: q.Host.Name, State: progress.Started})
	m, err := q.reach(ctx, began)
	end := progress.Event{Task: reachTask, Host: q.Host.Name, State: progress.Done, Err: err}
	if err != nil {
		end.State = progress.Failed
	} else {
		end.Text = "reached at " + m.Address
	}
	q.Progress.Send(end)
	return m, err
}

const reachTask = "reach the medium"

func (q Quest) reach(ctx context.Context, began time.Time) (*Medium, error) {
	for {
		candidates, err := q.candidates(ctx)
		if err != nil {
			return nil, err
		}
		m, tried, err := q.round(ctx, candidates)
		if m != nil || err != nil {
			return m, err
		}
		decided := slices.ContainsFunc(tried, func(o Observation) bool { return o.Final })
		if decided || time.Since(began) >= q.Patience {
			return nil, &UnreachedError{Host: q.Host.Name, Tried: tried, Searched: q.Find != nil && len(q.Addresses) == 0}
		}
		for _, o := range tried {
			q.Progress.Send(progress.Event{Task: reachTask, Host: q.Host.Name, State: progress.Running, Text: o.Address + ": " + o.Said})
		}
		if err := pause(ctx, roundPause); err != nil {
			return nil, fmt.Errorf("reach the medium of %s: %w", q.Host.Name, err)
		}
	}
}

// candidates are the addresses to try, most likely first.
func (q Quest) candidates(ctx context.Context) (places, error) {
	var all places
	port := portOf(q.Host)
	for _, text := range q.Addresses {
		p, err := parsePlace(text, port, "given")
		if err != nil {
			return nil, fmt.Errorf("reach the medium of %s: %w", q.Host.Name, err)
		}
		all.add(p.host, p.port, p.why)
	}
	if len(all) > 0 {
		return all, nil
	}
	all = fixedPlaces(q.Host)
	found, err := q.search(ctx)
	if err != nil {
		q.Progress.Send(progress.Event{Task: reachTask, Host: q.Host.Name, State: progress.Warned, Err: err})
	}
	for _, m := range found {
		for _, a := range m.Addresses {
			all.add(a.String(), m.Port, "found on the network as "+m.Name)
		}
	}
	if name := cmp.Or(q.Host.HostName, q.Host.Name); len(found) == 0 {
		all.add(name+"-setup.local", port, "its name on the network")
	}
	return all, nil
}

func (q Quest) search(ctx context.Context) ([]discovery.Medium, error) {
	if q.Find == nil {
		return nil, nil
	}
	all, err := q.Find(ctx, searchTime)
	if err != nil {
		return nil, fmt.Errorf("search the network: %w", err)
	}
	return slices.DeleteFunc(all, func(m discovery.Medium) bool { return !slices.Contains(m.Hosts, q.Host.Name) }), nil
}

// fixedPlaces are where a host is if its addresses do not come from others.
func fixedPlaces(h hive.Host) places {
	var all places
	for _, i := range h.Network.Interfaces {
		for _, text := range i.Addresses {
			if prefix, err := netip.ParsePrefix(text); err == nil && !prefix.Addr().IsLinkLocalUnicast() {
				all.add(prefix.Addr().String(), portOf(h), "fixed address")
			}
		}
	}
	return all
}

func portOf(h hive.Host) int {
	if len(h.SSH.Ports) > 0 {
		return h.SSH.Ports[0]
	}
	return 22
}

// answer is what came of trying one address.
type answer struct {
	index int
	m     *Medium
	err   error
}

// round tries all addresses at once, and takes the first that is the medium.
func (q Quest) round(ctx context.Context, candidates places) (*Medium, []Observation, error) {
	trying, enough := context.WithCancel(ctx)
	defer enough()
	answers := make(chan answer, len(candidates))
	for i, at := range candidates {
		go func() {
			m, err := q.visit(trying, at)
			answers <- answer{i, m, err}
		}()
	}
	var chosen *Medium
	problems := make([]error, len(candidates))
	for range candidates {
		a := <-answers
		switch {
		case a.err != nil:
			problems[a.index] = a.err
		case chosen != nil: // another way to the same machine
			problems[a.index] = a.m.Close()
		default:
			if err := q.judge(ctx, a.m); err != nil {
				problems[a.index] = errors.Join(err, a.m.Close())
				continue
			}
			chosen = a.m
			enough()
		}
	}
	switch {
	case ctx.Err() != nil && chosen != nil:
		return nil, nil, errors.Join(context.Cause(ctx), chosen.Close())
	case ctx.Err() != nil:
		return nil, nil, fmt.Errorf("reach the medium of %s: %w", q.Host.Name, context.Cause(ctx))
	case chosen != nil:
		return chosen, nil, nil
	}
	var tried []Observation
	for i, err := range problems {
		tried = append(tried, observe(candidates[i], err))
	}
	return nil, tried, nil
}

// visit logs in to an address, with a key that is known or is to be judged, and asks who is there.
func (q Quest) visit(ctx context.Context, at place) (*Medium, error) {
	target := q.target(q.Host.Name+"-setup", at)
	if q.HostKey != "" {
		m, err := q.ask(ctx, at, pinnedTo(target, q.HostKey))
		if e, ok := errors.AsType[*remote.ConnectionError](err); !ok || e.Reason != remote.HostKeyChanged {
			return m, err
		}
	}
	if q.Fingerprint == "" && q.Trust == nil {
		return nil, q.stranger(ctx, at)
	}
	target.FirstContact = remote.AcceptNew
	return q.ask(ctx, at, target)
}

func (l Login) target(name string, at place) remote.Target {
	return remote.Target{Name: name, Address: at.host, Port: at.port, User: cmp.Or(l.User, "root"), IdentityFiles: l.IdentityFiles}
}

func (l Login) open(target remote.Target) (*remote.Access, error) {
	return remote.Open(l.Local, []remote.Target{target}, remote.Options{
		UserConfig: l.UserConfig, ConnectTimeout: l.ConnectTimeout, KeepAlive: l.KeepAlive,
	})
}

// pinnedTo makes a target be no other machine than the one with this key.
func pinnedTo(t remote.Target, public string) remote.Target {
	if words := strings.Fields(public); len(words) >= 2 {
		t.HostKeys = []string{words[0] + " " + words[1]}
	}
	return t
}

// ask is who is there.
func (q Quest) ask(ctx context.Context, at place, target remote.Target) (*Medium, error) {
	access, err := q.open(target)
	if err != nil {
		return nil, err
	}
	m := &Medium{
		Runner: access.Runner(target.Name), Address: at.host, Port: at.port, Pinned: len(target.HostKeys) > 0, close: access.Close,
	}
	err = m.identify(ctx, q.Host.Name)
	if err == nil {
		m.Fingerprint, err = shownKey(access, target)
	}
	if err == nil {
		m.BootID, err = access.BootID(ctx, target.Name)
	}
	if err != nil {
		return nil, errors.Join(err, access.Close())
	}
	return m, nil
}

// shownKey is the fingerprint of the key that a target was reached with.
func shownKey(access *remote.Access, target remote.Target) (string, error) {
	keys := target.HostKeys
	if len(keys) == 0 {
		learned, err := access.Learned(target.Name)
		if err != nil {
			return "", err
		}
		keys = learned
	}
	if len(keys) == 0 {
		return "", final("", "its host key is not known")
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(keys[0]))
	if err != nil {
		return "", fmt.Errorf("read the host key that %s shows: %w", target.Address, err)
	}
	return ssh.FingerprintSHA256(key), nil
}

// identify asks the machine what it carries.
func (m *Medium) identify(ctx context.Context, host string) error {
	text, err := run.Output(ctx, m.Runner, run.Command{Name: "setup", Args: []string{"manifest", "--json"}})
	if unasked(ctx, err) {
		return err
	}
	if err != nil || json.Unmarshal(text, &m.Manifest) != nil {
		return final("start the machine from its medium: what answers there is another system",
			"%s answers, and it was not started from a medium", hostNameOf(ctx, m.Runner))
	}
	if m.Manifest.Schema != hive.ManifestSchema {
		return final("use the version of this program that wrote the medium, or write the medium again",
			"its medium is of another version: schema %d instead of %d", m.Manifest.Schema, hive.ManifestSchema)
	}
	own, ok := m.Manifest.Host(host)
	if !ok {
		return final("is it another machine? Else write a medium for "+host, "its medium is for %s", namesOf(m.Manifest))
	}
	m.Host = own
	return nil
}

// unasked reports whether a program on the machine was not even tried: no connection, no ssh here, no time left.
func unasked(ctx context.Context, err error) bool {
	_, connection := errors.AsType[*remote.ConnectionError](err)
	missing, ok := errors.AsType[*run.MissingError](err)
	return connection || ok && missing.Program == "ssh" || ctx.Err() != nil
}

func namesOf(m hive.Manifest) string {
	var names []string
	for _, h := range m.Hosts {
		names = append(names, h.Name)
	}
	return cmp.Or(strings.Join(names, ", "), "no host")
}

// hostNameOf is what a system calls itself, for messages.
func hostNameOf(ctx context.Context, r run.Runner) string {
	text, err := run.Output(ctx, r, run.Command{Name: "cat", Args: []string{"/proc/sys/kernel/hostname"}})
	name := strings.TrimSpace(strings.ToValidUTF8(string(text), "?"))
	if err != nil || name == "" || len(name) > 64 {
		return "a system"
	}
	return "the system " + name
}

// judge decides about a key that was not known beforehand.
func (q Quest) judge(ctx context.Context, m *Medium) error {
	switch {
	case m.Pinned, q.Fingerprint != "" && q.Fingerprint == m.Fingerprint:
		return nil
	case q.Fingerprint != "":
		return final("look at the machine's screen again; if it shows another fingerprint than this one, another machine answers there",
			"it shows the host key %s instead of %s", m.Fingerprint, q.Fingerprint)
	case q.Trust == nil:
		return keyAdvice(m.Fingerprint)
	}
	trusted, err := q.Trust(ctx, m.Address, m.Fingerprint)
	if err != nil {
		return err
	}
	if !trusted {
		return final("", "its host key %s was not confirmed", m.Fingerprint)
	}
	return nil
}

// stranger tells which key a machine shows that is not to be trusted. Nothing is sent to it: ssh learns the key before it logs in.
func (q Quest) stranger(ctx context.Context, at place) error {
	fingerprint, err := q.peek(ctx, at)
	if err != nil {
		return err
	}
	return keyAdvice(fingerprint)
}

func keyAdvice(fingerprint string) error {
	return final("compare it with the machine's screen, and if it is the same give `--fingerprint "+fingerprint+"`",
		"it shows the host key %s, which is not the workspace's key of the host", fingerprint)
}

// peek gives the fingerprint of the host key that an address shows.
func (l Login) peek(ctx context.Context, at place) (string, error) {
	target := l.target("stranger", at)
	target.FirstContact = remote.AcceptNew
	access, err := l.open(target)
	if err != nil {
		return "", err
	}
	defer access.Close()                    //nolint:errcheck // a temporary folder that stays is swept by the next run
	login := access.Login(ctx, target.Name) // ssh learns the key before it logs in, so that a login that is denied will do
	fingerprint, err := shownKey(access, target)
	if err != nil && login != nil {
		return "", login
	}
	return fingerprint, err
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
