package hosts_test

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/hosts"
	"nixos-staged-hive/internal/testbed/hosts/system"
)

// TestThreeVersionsOfNix is what the lab is for: hosts with Nix 2.8, 2.26 and the newest, from a copy to an activation that outlives
// its connection.
func TestThreeVersionsOfNix(t *testing.T) {
	t.Parallel()
	lab := hosts.Up(t, hosts.Net{Hosts: []hosts.Spec{
		{Name: "old", Suite: hosts.Bookworm, Systemd: true, TrustController: true},
		{Name: "middle", Suite: hosts.Trixie, Systemd: true, TrustController: true},
		{Name: "new", Suite: hosts.Newest, Systemd: true, TrustController: true},
	}})
	c := lab.Controller
	first := system.Build(t, c, system.Spec{Name: "first"})
	for _, h := range lab.Hosts {
		t.Run(h.Name, func(t *testing.T) {
			t.Parallel() // mostly it waits for timeouts
			t.Log(h.Sh(t, "nix --version"))
			// Each host's own: the controller's store keeps signatures.
			second := system.Build(t, c, system.Spec{Name: "second-" + h.Name})
			slow := system.Build(t, c, system.Spec{Name: "slow-" + h.Name, Slow: 2 * time.Second})
			big := system.Build(t, c, system.Spec{Name: "big-" + h.Name, Size: 24 << 20})
			system.Install(t, c, h, first)
			copySigned(t, lab, h, second)
			askPassword(t, lab, h)
			switchAndGoBack(t, lab, h, first, second)
			copyOverACut(t, lab, h, big)
			activateOverACut(t, lab, h, slow)
		})
	}
}

// copySigned: an admin whom the daemon does not trust may add signed paths only.
func copySigned(t *testing.T, lab *hosts.Lab, h *hosts.Host, path string) {
	t.Helper()
	c := lab.Controller
	if _, err := c.Try(t, "nix copy --no-check-sigs --to ssh-ng://"+h.Name+" "+path); err == nil {
		t.Error("an unsigned path was taken from somebody who is not trusted")
	}
	c.Sh(t, "nix store sign -k "+hosts.SigningKeyFile+" -r "+path+" && nix copy --to ssh-ng://"+h.Name+" "+path)
	h.Sh(t, "nix-store --check-validity "+path)
}

func askPassword(t *testing.T, lab *hosts.Lab, h *hosts.Host) {
	t.Helper()
	if got, err := lab.Sudo(t, h, "id -u; echo $SUDO_USER; exit 7"); got != "0\nadmin" || exitCode(err) != 7 {
		t.Errorf("sudo with the password: %q, %v", got, err)
	}
	for name, script := range map[string]string{
		"without a password":    "ssh " + h.Name + " sudo -k -n true",
		"with a wrong password": "echo wrong | ssh " + h.Name + " \"sudo -k -S -p '' true\"",
	} {
		if _, err := lab.Controller.Try(t, script); exitCode(err) != 1 {
			t.Errorf("sudo %s: %v, want exit code 1", name, err)
		}
	}
}

func switchAndGoBack(t *testing.T, lab *hosts.Lab, h *hosts.Host, first, second string) {
	t.Helper()
	if _, err := lab.Sudo(t, h, "nix-env -p "+system.Profile+" --set "+second+" && "+second+"/bin/switch-to-configuration switch"); err != nil {
		t.Error(err)
	}
	want := system.State{Current: second, Booted: first, Profile: second, Generation: 2, Default: second}
	if got := system.Read(t, h); got != want {
		t.Errorf("after the switch: %+v, want %+v", got, want)
	}
	if _, err := lab.Sudo(t, h, "nix-env -p "+system.Profile+" --rollback && "+system.Profile+"/bin/switch-to-configuration switch"); err != nil {
		t.Error(err)
	}
	want = system.State{Current: first, Booted: first, Profile: first, Generation: 1, Default: first}
	if got := system.Read(t, h); got != want {
		t.Errorf("after going back: %+v, want %+v", got, want)
	}
}

// copyOverACut: the link breaks silently in the middle; the second try succeeds.
func copyOverACut(t *testing.T, lab *hosts.Lab, h *hosts.Host, path string) {
	t.Helper()
	lab.Controller.Sh(t, "nix store sign -k "+hosts.SigningKeyFile+" -r "+path)
	h.Link.CutAfter(t, 6<<20)
	if _, err := lab.Controller.Try(t, "nix-copy-closure --to "+h.Name+" "+path); err == nil {
		t.Error("24 MiB were copied over a link that broke after 6")
	}
	if !h.Link.Cut(t) {
		t.Error("the link says that it is not cut")
	}
	if _, err := h.Try(t, "nix-store --check-validity "+path); err == nil {
		t.Error("half a path is valid")
	}
	h.Link.Restore(t)
	lab.Controller.Sh(t, "nix-copy-closure --to "+h.Name+" "+path)
	h.Sh(t, "nix-store --verify-path "+path)
}

// activateOverACut: a transient unit goes on while nobody can reach the host.
func activateOverACut(t *testing.T, lab *hosts.Lab, h *hosts.Host, path string) {
	t.Helper()
	copySigned(t, lab, h, path)
	if _, err := lab.Sudo(t, h, "systemd-run --quiet --unit=activate --property=RemainAfterExit=yes "+path+"/bin/switch-to-configuration test"); err != nil {
		t.Fatal(err)
	}
	h.Link.Down(t)
	if _, err := lab.Controller.Try(t, "ssh "+h.Name+" true"); exitCode(err) != 255 {
		t.Errorf("ssh over a link that is down: %v, want exit code 255", err)
	}
	h.Sh(t, "until grep -q '^slow-.*: finished with 0' /var/log/testbed-activation; do sleep 0.1; done")
	h.Link.Up(t)
	if got := lab.Controller.Sh(t, "ssh "+h.Name+" systemctl show activate -P Result; ssh "+h.Name+" readlink /run/current-system"); got != "success\n"+path {
		t.Errorf("afterwards the host says %q", got)
	}
}

func exitCode(err error) int {
	if failed, ok := errors.AsType[*run.Error](err); ok {
		return failed.ExitCode
	}
	return 0
}

func TestATrustedAdminNeedsNoSignature(t *testing.T) {
	t.Parallel()
	lab := hosts.Up(t, hosts.Net{Hosts: []hosts.Spec{
		{Name: "h1", Suite: hosts.Trixie, TrustedUsers: []string{hosts.Admin}, NoPassword: true, RootLogin: true, SSHD: "MaxAuthTries 2\n"},
	}})
	c, h := lab.Controller, lab.Host(t, "h1")
	path := system.Build(t, c, system.Spec{Name: "x"})
	c.Sh(t, "nix copy --no-check-sigs --to ssh-ng://h1 "+path)
	h.Sh(t, "nix-store --check-validity "+path)
	if got := c.Sh(t, "ssh h1 sudo -n id -un; ssh root@h1 id -un"); got != "root\nroot" {
		t.Errorf("with NoPassword and RootLogin: %q", got)
	}
	if got := h.Sh(t, "sshd -T -f /etc/testbed/sshd_config | grep -i maxauthtries"); got != "maxauthtries 2" {
		t.Errorf("further lines of sshd_config: %q", got)
	}
}

// Two labs at once have the same names and addresses, and nothing else in common with each other or with the machine.
func TestLabsAreApart(t *testing.T) {
	t.Setenv("SECRET_OF_THE_TEST", "1")
	before := machine(t)
	net := hosts.Net{Hosts: []hosts.Spec{{Name: "h1", Suite: hosts.Trixie, Systemd: true}, {Name: "h2", Suite: hosts.Trixie}}}
	a, b := hosts.Up(t, net), hosts.Up(t, net)
	if got := difference(before, machine(t)); got != "" {
		t.Errorf("seen on the machine while labs run:\n%s", got)
	}
	keys := map[string]bool{}
	for _, h := range slices.Concat(a.Hosts, b.Hosts) {
		keys[h.HostKey()] = true
		keys[h.Sh(t, "cat /etc/machine-id")] = true
		if got := h.Sh(t, "hostname; cat /etc/hostname"); got != h.Name+"\n"+h.Name {
			t.Errorf("%s calls itself %q", h.Name, got)
		}
		if got := h.Sh(t, "env"); strings.Contains(got, "SECRET_OF_THE_TEST") {
			t.Errorf("the test's environment is seen on %s", h.Name)
		}
	}
	if len(keys) != 8 {
		t.Errorf("%d different host keys and machine ids, want 8", len(keys))
	}
	a.Host(t, "h1").WriteFile(t, "/root/mark", "a", 0o600)
	if b.Host(t, "h1").Exists(t, "/root/mark") {
		t.Error("a file of one lab is seen in the other")
	}
	a.Host(t, "h2").Kill(t)
	if got := b.Controller.Sh(t, "ssh h2 hostname; ssh h1 hostname"); got != "h2\nh1" {
		t.Errorf("after the end of a host of the other lab: %q", got)
	}
	if _, err := b.Controller.Try(t, "ssh root@h1 true"); exitCode(err) != 255 {
		t.Errorf("root logs in: %v", err)
	}
}

// There is one kernel. What is set in it from a host would be set on the machine.
func TestTheKernelIsNotTheHosts(t *testing.T) {
	t.Parallel()
	lab := hosts.Up(t, hosts.Net{Hosts: []hosts.Spec{{Name: "h1", Suite: hosts.Bookworm}, {Name: "h2", Suite: hosts.Newest, Systemd: true}}})
	for _, h := range append(lab.Hosts, lab.Controller) {
		for _, path := range []string{"/proc/sys/kernel/panic", "/proc/sysrq-trigger", "/sys/kernel/mm/lru_gen/enabled"} {
			if _, err := h.Try(t, "exec 3>"+path); err == nil { // opened, not written: it would not be undone
				t.Errorf("%s can be written on %s", path, h.Name)
			}
		}
		h.Sh(t, "echo 1 > /proc/sys/net/ipv4/ip_forward")
		if got := h.Sh(t, "mount -t debugfs,tracefs,securityfs,fusectl"); got != "" {
			t.Errorf("%s sees the machine's kernel in %s", h.Name, got)
		}
	}
}

func TestPower(t *testing.T) {
	t.Parallel()
	lab := hosts.Up(t, hosts.Net{Hosts: []hosts.Spec{{Name: "h1", Suite: hosts.Trixie, Systemd: true}, {Name: "h2", Suite: hosts.Bookworm}}})
	c := lab.Controller
	for _, h := range lab.Hosts {
		h.Sh(t, "echo kept > /root/kept; echo lost > /run/lost; ip link set eth0 down")
		h.Reboot(t)
		if !h.Exists(t, "/root/kept") || h.Exists(t, "/run/lost") {
			t.Errorf("%s: what is in memory is to be lost at a reboot, and nothing else", h.Name)
		}
		if got := c.Sh(t, "ssh "+h.Name+" hostname"); got != h.Name {
			t.Errorf("%s is not back: %q", h.Name, got)
		}
	}
	h := lab.Host(t, "h1")
	if _, err := lab.Sudo(t, h, "systemctl --no-block reboot"); err != nil {
		t.Error(err)
	}
	h.Await(t, 3)
	if got := c.Sh(t, "ssh h1 hostname"); got != "h1" {
		t.Errorf("not back after its own reboot: %q", got)
	}
	h.Sh(t, "systemctl --no-block poweroff")
	h.AwaitOff(t)
	if _, err := h.Try(t, "true"); err == nil || h.Alive() {
		t.Error("a command ran on a host that is off")
	}
	h.Boot(t)
	if got := h.Boots(); got != 4 {
		t.Errorf("%d boots, want 4", got)
	}
}

func TestSSHDComesBack(t *testing.T) {
	t.Parallel()
	lab := hosts.Up(t, hosts.Net{Hosts: []hosts.Spec{{Name: "h1", Suite: hosts.Newest, Systemd: true}, {Name: "h2", Suite: hosts.Bookworm}}})
	for _, h := range lab.Hosts {
		h.Sh(t, "rm -f /tmp/began /tmp/over")
		ended := make(chan error, 1)
		go func() {
			_, err := lab.Controller.Try(t, "ssh "+h.Name+" 'touch /tmp/began; sleep 2; touch /tmp/over'")
			ended <- err
		}()
		h.Sh(t, "until [ -e /tmp/began ]; do sleep 0.05; done")
		h.KillSSHD(t)
		if err := <-ended; exitCode(err) != 255 {
			t.Errorf("%s: the session ended with %v, want exit code 255", h.Name, err)
		}
		h.Await(t, 1)
		lab.Controller.Sh(t, "ssh "+h.Name+" true")
		h.Sh(t, "until [ -e /tmp/over ]; do sleep 0.05; done") // what the session started lives on
	}
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	lab := hosts.Up(t, hosts.Net{Hosts: []hosts.Spec{
		{Name: "h1", Suite: hosts.Bookworm, Space: 32 << 20, TrustedUsers: []string{hosts.Admin}},
	}})
	c, h := lab.Controller, lab.Host(t, "h1")
	big := system.Build(t, c, system.Spec{Name: "big", Size: 48 << 20})
	_, err := c.Try(t, "nix-copy-closure --to h1 "+big)
	if failed, ok := errors.AsType[*run.Error](err); !ok || !strings.Contains(string(failed.Stderr), "No space left on device") {
		t.Errorf("48 MiB on a disk of 32: %v", err)
	}
	small := system.Build(t, c, system.Spec{Name: "small"})
	h.Sh(t, "nix-store --gc")
	c.Sh(t, "nix-copy-closure --to h1 "+small)
	h.Reboot(t)
	h.Sh(t, "nix-store --check-validity "+small)
}

func TestFaultsOfALink(t *testing.T) {
	t.Parallel()
	lab := hosts.Up(t, hosts.Net{Hosts: []hosts.Spec{{Name: "h1", Suite: hosts.Bookworm}, {Name: "h2", Suite: hosts.Bookworm}}})
	c, h := lab.Controller, lab.Host(t, "h1")
	fetch := func(bytes int) string { return "ssh h1 'head -c " + strconv.Itoa(bytes) + " /dev/zero' | wc -c" }

	h.Link.Rate(t, 40e6)
	for _, end := range []string{c.Sh(t, "tc qdisc show dev p1"), h.Sh(t, "tc qdisc show dev eth0")} {
		if !strings.Contains(end, "tbf") || !strings.Contains(end, "rate 40Mbit") {
			t.Errorf("rate at one end: %s", end)
		}
	}
	h.Link.Loss(t, 10)
	if got := c.Sh(t, fetch(1<<20)); got != "1048576" {
		t.Errorf("over a bad link: %s bytes", got)
	}
	if got := retransmitted(t, h); got == 0 {
		t.Error("a megabyte without a lost packet")
	}
	h.Link.Restore(t)
	if got := c.Sh(t, "tc qdisc show dev p1; nft list ruleset"); strings.Contains(got, "tbf") || strings.Contains(got, "p1_") {
		t.Errorf("left after Restore: %s", got)
	}
	h.Link.CutAfter(t, 1<<20)
	if h.Link.Cut(t) {
		t.Error("cut before anything passed")
	}
	if got, err := strconv.Atoi(c.Sh(t, fetch(4<<20)+"; true")); err != nil || got <= 0 || got >= 1<<20 {
		t.Errorf("%d bytes passed before a cut at a mebibyte, want less than that: %v", got, err)
	}
	if !h.Link.Cut(t) {
		t.Error("not cut")
	}
	if got := c.Sh(t, "ssh h2 hostname"); got != "h2" {
		t.Errorf("the other host's link is cut too: %q", got)
	}
	h.Link.Restore(t)
	h.Link.CutAfter(t, 0)
	if _, err := c.Try(t, "ssh h1 true"); exitCode(err) != 255 || !h.Link.Cut(t) {
		t.Errorf("over a link that was cut at once: %v", err)
	}
	h.Link.Restore(t)
	if got := c.Sh(t, fetch(4<<20)); got != "4194304" {
		t.Errorf("after Restore: %s bytes", got)
	}
}

func TestTheControllerSharesFolders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lab := hosts.Up(t, hosts.Net{Share: []string{dir}, Hosts: []hosts.Spec{{Name: "h1", Suite: hosts.Bookworm}}})
	lab.Controller.Sh(t, "ssh h1 hostname > "+dir+"/name")
	if got, err := os.ReadFile(dir + "/name"); err != nil || string(got) != "h1\n" {
		t.Errorf("in the shared folder: %q, %v", got, err)
	}
	if lab.Host(t, "h1").Exists(t, dir) {
		t.Error("the host sees it too")
	}
}

// The errors are those that product code gets from run.Local.
func TestAHostIsARunner(t *testing.T) {
	t.Parallel()
	lab := hosts.Up(t, hosts.Net{Hosts: []hosts.Spec{{Name: "h1", Suite: hosts.Bookworm}}})
	var r run.Runner = lab.Host(t, "h1")
	missing := r.Run(t.Context(), run.Command{Name: "no-such-program"})
	if _, ok := errors.AsType[*run.MissingError](missing); !ok {
		t.Errorf("missing program: %v", missing)
	}
	out, err := run.Output(t.Context(), r, run.Command{
		Name: "sh", Args: []string{"-c", `pwd; cat; echo "$X" "$HOME"; echo why >&2; exit 5`}, Dir: "/var/log", Env: []string{"X=y z"}, Stdin: strings.NewReader("in\n"),
	})
	if string(out) != "/var/log\nin\ny z /root\n" || exitCode(err) != 5 || !strings.Contains(err.Error(), "sh: exit status 5: why") {
		t.Errorf("%q, %v", out, err)
	}
}
