// Package remote runs commands on hosts over OpenSSH, as a run.Runner: what works on this machine works on a host by handing over
// another Runner.
//
// An [Access] is one generated ssh_config with its known_hosts, in a folder of its own. ssh, nix copy and Colmena all use it, so that
// they agree on addresses, keys and time-outs. The program ssh is the real one: agents, hardware keys and jump hosts work as the user has
// them.
//
// There is no ControlMaster. Every command is a new connection: one shared with others hangs for all of them after a cut until
// keep-alives end it, the master holds on to its starter's output, and whether a host can still be reached is only proven by a new
// login (the confirmation of a deployment rests on that).
package remote

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"nixos-staged-hive/internal/run"
)

// Target is a host and how to reach it.
type Target struct {
	Name    string // the host's name in the hive; ssh, nix and Colmena call it so
	Address string // IPv4 or IPv6 address, or a name to resolve; empty is Called
	// Called is what other programs call the host, as Colmena does by deployment.targetHost: a name or an address. A Host block of the
	// user's own ssh_config for it applies, unless Address says where the host is. Targets with the same one are told apart by their
	// ports. Empty is Name.
	Called string
	Port   int    // 0 is 22
	User   string // empty is the local user's name
	// IdentityFiles are the absolute paths of the private keys to offer, and no others then; a public key chooses one that an agent
	// holds. Empty offers ssh's defaults and the agent.
	IdentityFiles []string
	HostKeys      []string // known public keys, each "type base64" as in known_hosts, without the host
	FirstContact  FirstContact
	Jump          string            // the Name of another target, or user@host:port; empty reaches the host directly
	Options       map[string]string // further options of ssh_config for this host; they win over ours
}

// FirstContact says what happens when a host shows a key that is not among Target.HostKeys.
type FirstContact int

const (
	// Pinned refuses it: the key must be known beforehand.
	Pinned FirstContact = iota
	// AcceptNew remembers the first key in Options.KnownHosts and refuses another one from then on.
	AcceptNew
	// Ignore takes any key, each time. Only for machines that nobody else can be in the place of: a virtual machine on this computer.
	Ignore
)

// Options are what all targets share.
type Options struct {
	// Dir is an existing folder for the generated files, an absolute path without blanks, since nix splits NIX_SSHOPTS there.
	// Empty makes one that only this process uses and Close removes.
	Dir        string
	KnownHosts string // file where AcceptNew remembers keys, an absolute path; empty is one in Dir
	// UserConfig is a file of ssh_config that fills in what we leave open, such as IdentityAgent or IdentityFile: the user's own. Empty
	// is none: then ssh's defaults and the agent of SSH_AUTH_SOCK are used. ssh's system-wide file is not read in either case.
	UserConfig     string
	ConnectTimeout time.Duration // for a connection including key exchange, in whole seconds; 0 is 10 s
	KeepAlive      time.Duration // a connection silent for three times this is lost, in whole seconds; 0 is 10 s
}

// Access is how hosts are reached. It may be used by several goroutines.
type Access struct {
	local      run.Runner
	dir        string
	remove     func() error
	targets    map[string]Target
	shared     map[string]bool // values of Called that several targets have
	knownHosts string          // for AcceptNew
	remembered string          // the same file, as ssh reads its path
}

// ErrNoTarget is a name that was not among the targets.
var ErrNoTarget = errors.New("no such target")

// Open writes the files for targets. local runs ssh, on this machine.
func Open(local run.Runner, targets []Target, o Options) (*Access, error) {
	a := &Access{local: local, dir: o.Dir, remove: func() error { return nil }, targets: map[string]Target{}, shared: map[string]bool{}}
	called := map[string]bool{}
	for _, t := range targets {
		if _, twice := a.targets[t.Name]; twice {
			return nil, fmt.Errorf("ssh access: two targets are named %s", t.Name)
		}
		a.targets[t.Name] = t
		a.shared[t.called()] = called[t.called()]
		called[t.called()] = true
	}
	if err := check(targets, o); err != nil {
		return nil, fmt.Errorf("ssh access: %w", err)
	}
	if a.dir == "" {
		dir, remove, err := runtimeFolder()
		if err != nil {
			return nil, fmt.Errorf("ssh access: %w", err)
		}
		a.dir, a.remove = dir, remove
	}
	a.knownHosts = o.KnownHosts
	if a.knownHosts == "" {
		a.knownHosts = filepath.Join(a.dir, "learned_hosts")
	}
	if err := a.remember(); err != nil {
		return nil, errors.Join(fmt.Errorf("ssh access: %w", err), a.remove())
	}
	if err := a.write(targets, o); err != nil {
		return nil, errors.Join(fmt.Errorf("ssh access: %w", err), a.remove())
	}
	return a, nil
}

// remember gives ssh a path of the file of learned keys that it can read: a link, where its own has a quotation mark or worse.
func (a *Access) remember() error {
	a.remembered = a.knownHosts
	if checkPath(a.knownHosts) == nil {
		return nil
	}
	a.remembered = filepath.Join(a.dir, "remembered_hosts")
	if err := os.Remove(a.remembered); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(a.knownHosts, a.remembered)
}

// Close removes the files if they are in a folder of their own. Commands that still run keep their connections.
func (a *Access) Close() error { return a.remove() }

// ConfigFile is the absolute path of the ssh_config, without blanks.
func (a *Access) ConfigFile() string { return filepath.Join(a.dir, "ssh_config") }

// Environment makes the nix programs (NIX_SSHOPTS) and Colmena 0.4 and 0.5 (SSH_CONFIG_FILE) reach targets by their names.
func (a *Access) Environment() []string {
	return []string{"NIX_SSHOPTS=-F " + a.ConfigFile(), "SSH_CONFIG_FILE=" + a.ConfigFile()}
}

// Learned gives the keys that AcceptNew has remembered for name, as in Target.HostKeys.
func (a *Access) Learned(name string) ([]string, error) {
	text, err := os.ReadFile(a.knownHosts)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read learned host keys: %w", err)
	}
	var keys []string
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) >= 3 && words[0] == name {
			keys = append(keys, words[1]+" "+words[2])
		}
	}
	return keys, nil
}

func (a *Access) write(targets []Target, o Options) error {
	if err := replace(filepath.Join(a.dir, "known_hosts"), knownHosts(targets)); err != nil {
		return err
	}
	return replace(a.ConfigFile(), a.config(targets, o))
}

// replace writes a file so that a reader sees the old text or the new one.
func replace(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// called is what ssh is to be called with for the host, if nothing speaks against it.
func (t Target) called() string { return cmp.Or(t.Called, t.Name) }

// address is where ssh connects to, for messages.
func (t Target) address() string {
	host := cmp.Or(t.Address, t.called())
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() {
		host = "[" + host + "]"
	}
	if t.Port == 0 || t.Port == 22 {
		return host
	}
	return host + ":" + strconv.Itoa(t.Port)
}
