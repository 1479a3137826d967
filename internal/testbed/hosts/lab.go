package hosts

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/remains"
)

// Net says which machines there are to be.
type Net struct {
	Hosts      []Spec
	Controller Suite    // empty is the suite of the first host
	Share      []string // folders of this machine, seen by the controller at the same absolute path
}

// Spec is one host. The zero values of all but Name and Suite are those of a machine that was set up with care.
type Spec struct {
	Name            string // its host name, and its name for ssh on the controller; at most 60 letters, digits and hyphens
	Suite           Suite
	Systemd         bool     // systemd is process 1, else a small shell script is
	TrustedUsers    []string // besides root, in nix.conf: who may add unsigned paths, which is root's power
	TrustController bool     // accept store paths signed with the controller's key, SigningKeyFile
	NoPassword      bool     // sudo asks members of wheel for no password
	RootLogin       bool     // root may log in with the controller's key
	SSHD            string   // lines that go before the others of sshd_config, where the first of a key wins
	Space           int64    // size of its disk in bytes; 0 is that of the machine. At least 16 MiB; the root does not count. It is held in memory
}

// Lab is a running set of machines.
type Lab struct {
	Controller *Host // the deployer's computer: Nix and ssh as root, /root/.ssh/config knows every host; no Link, no sshd, no systemd
	Hosts      []*Host

	run      *remains.Run
	disks    string   // the folder with the machines' file systems
	mounts   *os.File // namespace with the disks of limited size, which a reboot must not lose
	public   string   // of the controller's SSH key
	trusted  string   // public part of the controller's signing key
	signing  string
	children sync.WaitGroup // the threads that hold machines
}

// SigningKeyFile is the controller's key for store paths, for `nix store sign -k` and for the setting secret-key-files.
const SigningKeyFile = "/root/signing.key"

const (
	bootPatience  = 2 * time.Minute // a host under systemd needs about a second on an idle machine
	smallestSpace = 16 << 20
)

// Up starts the machines of net and waits until one can log in to each. They end with the test. Roots are made first where Prepare was
// not called before.
func Up(t testing.TB, net Net) *Lab {
	t.Helper()
	if err := net.check(); err != nil {
		t.Fatal(err)
	}
	if net.Controller == "" {
		net.Controller = net.Hosts[0].Suite
	}
	if slices.ContainsFunc(net.Hosts, func(h Spec) bool { return h.Systemd }) {
		requireCgroups(t)
	}
	Prepare(t, net.suites()...)
	lab, err := newLab()
	if err != nil {
		t.Fatalf("start the lab: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			lab.tell(t)
		}
		if err := lab.down(); err != nil {
			t.Errorf("end the lab: %v", err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), bootPatience)
	defer cancel()
	if err := lab.up(ctx, net); err != nil {
		t.Fatalf("start the lab: %v", err)
	}
	return lab
}

// Host gives a machine by its name, and fails the test when there is none.
func (l *Lab) Host(t testing.TB, name string) *Host {
	t.Helper()
	for _, h := range l.Hosts {
		if h.Name == name {
			return h
		}
	}
	t.Fatalf("no host %s in this lab", name)
	return nil
}

// Sudo runs a shell script as root on a host the way the deployer does: over SSH as the admin, the password on sudo's stdin. A failure is
// a *run.Error with the script's exit code, or ssh's 255.
func (l *Lab) Sudo(t testing.TB, h *Host, script string) (string, error) {
	t.Helper()
	ctx, cancel := patient(t)
	defer cancel()
	out, err := run.Output(ctx, l.Controller, run.Command{
		Name:   "ssh",
		Args:   []string{h.Name, "sudo -k -S -p '' -H -- sh -c " + run.Quote(script)},
		Stdin:  strings.NewReader(AdminPassword + "\n"),
		Secret: []string{AdminPassword},
	})
	return strings.TrimSuffix(string(out), "\n"), err
}

func (n Net) suites() []Suite {
	all := []Suite{n.Controller}
	for _, h := range n.Hosts {
		all = append(all, h.Suite)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (n Net) check() error {
	if len(n.Hosts) == 0 || len(n.Hosts) > 200 {
		return fmt.Errorf("a lab of %d hosts: between 1 and 200 are possible", len(n.Hosts))
	}
	seen := map[string]bool{controllerName: true}
	for _, h := range n.Hosts {
		if h.Name == "" || len(h.Name) > 60 || strings.Trim(h.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
			return fmt.Errorf("host name %q: letters, digits and hyphens, please", h.Name)
		}
		if seen[h.Name] {
			return fmt.Errorf("host name %q is taken", h.Name)
		}
		seen[h.Name] = true
		if h.Space != 0 && h.Space < smallestSpace {
			return fmt.Errorf("host %s: a disk of %d bytes is too small to boot from", h.Name, h.Space)
		}
	}
	return nil
}

func newLab() (*Lab, error) {
	run, err := remains.Begin()
	if err != nil {
		return nil, err
	}
	cache, err := Cache()
	if err != nil {
		return nil, errors.Join(err, run.End())
	}
	l := &Lab{run: run, disks: filepath.Join(cache, "disks", run.Name())}
	if err := run.Folder(l.disks); err != nil {
		return nil, errors.Join(err, run.End())
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a signing key: %w", err), run.End())
	}
	// As nix-store --generate-binary-cache-key writes them: libsodium's secret key is seed and public key, as Go's is.
	l.trusted = "testbed-1:" + base64.StdEncoding.EncodeToString(public)
	l.signing = "testbed-1:" + base64.StdEncoding.EncodeToString(private)
	return l, nil
}

const controllerName = "controller"

func (l *Lab) up(ctx context.Context, net Net) error {
	if err := l.define(ctx, net); err != nil {
		return err
	}
	if err := l.Controller.start(); err != nil {
		return err
	}
	if err := l.Controller.await(ctx); err != nil {
		return err
	}
	if err := l.identifyController(); err != nil {
		return err
	}
	errs := make([]error, len(l.Hosts))
	var all sync.WaitGroup
	for i, h := range l.Hosts {
		all.Go(func() { errs[i] = l.attach(ctx, h) })
	}
	all.Wait()
	return errors.Join(append(errs, l.introduce())...)
}

// define makes what all machines have before any of them runs.
func (l *Lab) define(ctx context.Context, net Net) error {
	specs := append([]Spec{{Name: controllerName, Suite: net.Controller}}, net.Hosts...)
	for i, spec := range specs {
		h, err := l.newHost(ctx, spec, i)
		if err != nil {
			return err
		}
		if i == 0 {
			h.share = net.Share
			l.Controller = h
			continue
		}
		h.Link = &Link{lab: l, host: h, port: fmt.Sprintf("p%d", i)}
		l.Hosts = append(l.Hosts, h)
	}
	var err error
	l.mounts, err = newMounts(l.mountDisks)
	return err
}

// newHost gives number 0, the controller, the first address.
func (l *Lab) newHost(ctx context.Context, spec Spec, number int) (*Host, error) {
	root, err := Root(ctx, spec.Suite, os.Stderr)
	if err != nil {
		return nil, err
	}
	network, err := newNetwork()
	if err != nil {
		return nil, err
	}
	address := netip.AddrFrom4([4]byte{10, 99, 0, byte(1 + number)})
	if number > 0 {
		address = netip.AddrFrom4([4]byte{10, 99, 0, byte(10 + number)})
	}
	h := &Host{Name: spec.Name, Addr: address, Suite: spec.Suite, lab: l, spec: spec, lower: root, network: network}
	h.disk = filepath.Join(l.disks, spec.Name)
	return h, os.Mkdir(h.disk, 0o755)
}

// mountDisks gives the hosts with limited space their disk. Where our own files are on an overlay already, as in many containers,
// another one cannot be written to it, and memory serves everybody.
func (l *Lab) mountDisks() error {
	var fs unix.Statfs_t
	if err := unix.Statfs(l.disks, &fs); err != nil {
		return fmt.Errorf("look at %s: %w", l.disks, err)
	}
	for _, h := range append([]*Host{l.Controller}, l.Hosts...) {
		options := ""
		switch {
		case h.spec.Space > 0:
			options = fmt.Sprintf("size=%d,mode=0755", h.spec.Space)
		case fs.Type == unix.OVERLAYFS_SUPER_MAGIC:
			options = "mode=0755"
		default:
			continue
		}
		if err := mountTmpfs(h.disk, options); err != nil {
			return err
		}
	}
	return nil
}

// identifyController makes the deployer's keys.
func (l *Lab) identifyController() error {
	c := l.Controller
	return c.inside(nil, func() error {
		if err := os.WriteFile(SigningKeyFile, []byte(l.signing), 0o600); err != nil {
			return err
		}
		if err := os.MkdirAll("/root/.ssh", 0o700); err != nil {
			return err
		}
		public, err := newSSHKey("/root/.ssh/id_ed25519", "root@"+controllerName)
		l.public = public
		return err
	})
}

// attach plugs a host in and starts it.
func (l *Lab) attach(ctx context.Context, h *Host) error {
	if err := h.Link.plug(ctx); err != nil {
		return fmt.Errorf("plug in %s: %w", h.Name, err)
	}
	if err := h.start(); err != nil {
		return err
	}
	return h.await(ctx)
}

// introduce tells the controller who is where, under the short name and the address.
func (l *Lab) introduce() error {
	var known, config, names strings.Builder
	for _, h := range l.Hosts {
		fmt.Fprintf(&known, "%s,%s %s\n", h.Name, h.Addr, h.HostKey())
		fmt.Fprintf(&names, "%s %s\n", h.Addr, h.Name)
		fmt.Fprintf(&config, "Host %s %s\n  HostName %s\n", h.Name, h.Addr, h.Addr)
	}
	config.WriteString("Host *\n  User " + Admin + "\n  StrictHostKeyChecking yes\n  BatchMode yes\n" +
		"  ConnectTimeout 5\n  ServerAliveInterval 1\n  ServerAliveCountMax 3\n")
	return l.Controller.inside(nil, func() error {
		hosts, err := os.ReadFile("/etc/hosts")
		return errors.Join(err,
			os.WriteFile("/etc/hosts", append(hosts, names.String()...), 0o644),
			os.WriteFile("/root/.ssh/known_hosts", []byte(known.String()), 0o600),
			os.WriteFile("/root/.ssh/config", []byte(config.String()), 0o600))
	})
}

// tell logs what the machines have to say about a failed test.
func (l *Lab) tell(t testing.TB) {
	for _, h := range l.Hosts {
		t.Logf("%s (%s):\n%s", h.Name, h.Suite, h.lastWords(context.WithoutCancel(t.Context())))
	}
}

func (l *Lab) down() error {
	for _, h := range append(l.Hosts, l.Controller) {
		if h != nil {
			h.end()
		}
	}
	l.children.Wait()
	if l.mounts != nil {
		_ = l.mounts.Close() // takes its mounts along
	}
	return l.run.End()
}
