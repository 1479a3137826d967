package hosts

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// furnish writes the files in which a host differs from the root of its suite, once: later boots find what the host made of them. The
// thread is in the host already.
func (h *Host) furnish() error {
	if h.made {
		return nil
	}
	steps := []func() error{h.nameFiles, h.initFiles, h.nixFiles}
	if h != h.lab.Controller {
		steps = append(steps, h.loginFiles, h.hostKeyFiles)
	}
	if h.spec.Systemd {
		steps = append(steps, h.unitFiles)
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("furnish: %w", err)
		}
	}
	h.made = true
	return nil
}

func (h *Host) nameFiles() error {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return fmt.Errorf("make a machine id: %w", err)
	}
	return errors.Join(
		writeFile("/etc/hostname", h.Name+"\n", 0o644),
		writeFile("/etc/hosts", "127.0.0.1 localhost\n127.0.1.1 "+h.Name+"\n", 0o644),
		writeFile("/etc/machine-id", hex.EncodeToString(id)+"\n", 0o444), // an empty one makes systemd think it is its first boot
	)
}

func (h *Host) initFiles() error {
	for _, name := range []string{"init", "network"} {
		text, err := files.ReadFile("files/" + name)
		if err != nil {
			return err
		}
		if err := writeFile("/etc/testbed/"+name, string(text), 0o755); err != nil {
			return err
		}
	}
	card := "eth0"
	if h == h.lab.Controller {
		card = "br0"
	}
	return writeFile("/etc/testbed/address", fmt.Sprintf("interface=%s\naddress=%s/24\n", card, h.Addr), 0o644)
}

// nixFiles has no substituters: each copy would lose seconds in asking a cache that cannot be reached.
func (h *Host) nixFiles() error {
	conf := "build-users-group = nixbld\nsandbox = false\nsubstituters =\nexperimental-features = nix-command flakes\n" +
		"fsync-metadata = false\n" +
		"trusted-users = " + strings.Join(append([]string{"root"}, h.spec.TrustedUsers...), " ") + "\n" +
		"trusted-public-keys ="
	if h.spec.TrustController {
		conf += " " + h.lab.trusted
	}
	return writeFile("/etc/nix/nix.conf", conf+"\n", 0o644)
}

// loginFiles say who may log in and who may become root. Without PAM: there is no logind for its sessions.
func (h *Host) loginFiles() error {
	root, users := "no", Admin
	if h.spec.RootLogin {
		root, users = "prohibit-password", Admin+" root"
	}
	config := strings.TrimSuffix(h.spec.SSHD, "\n") + "\n" +
		"Port 22\nHostKey /etc/ssh/ssh_host_ed25519_key\nPermitRootLogin " + root + "\nAllowUsers " + users +
		"\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nSubsystem sftp /usr/lib/openssh/sftp-server\n"
	home, err := os.Stat("/home/" + Admin)
	if err != nil {
		return err
	}
	owner, ok := home.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("no owner of the admin's home")
	}
	keys := "/home/" + Admin + "/.ssh/authorized_keys"
	err = errors.Join(
		writeFile("/etc/testbed/sshd_config", config, 0o600),
		writeFile(keys, h.lab.public+"\n", 0o600), os.Chown(keys, int(owner.Uid), int(owner.Gid)),
		os.MkdirAll("/root/.ssh", 0o700), writeFile("/root/.ssh/authorized_keys", h.lab.public+"\n", 0o600))
	if h.spec.NoPassword {
		err = errors.Join(err, writeFile("/etc/sudoers.d/wheel-nopasswd", "%wheel ALL=(ALL:ALL) NOPASSWD: ALL\n", 0o440))
	}
	return err
}

func (h *Host) hostKeyFiles() error {
	key, err := newSSHKey("/etc/ssh/ssh_host_ed25519_key", "root@"+h.Name)
	h.key = key
	return err
}

// newSSHKey makes a key pair with the host's own ssh-keygen and gives the public part without the comment.
func newSSHKey(path, comment string) (string, error) {
	cmd := exec.Command("/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path)
	cmd.Env = []string{"PATH=" + searchPath, "HOME=/root"}
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("ssh-keygen: %w: %s", err, out)
	}
	public, err := os.ReadFile(path + ".pub")
	if err != nil {
		return "", err
	}
	fields := strings.Fields(string(public))
	if len(fields) < 2 {
		return "", fmt.Errorf("%s.pub is no key: %q", path, public)
	}
	return fields[0] + " " + fields[1], nil
}

// unitFiles enables our services as `systemctl enable` would.
func (h *Host) unitFiles() error {
	units, err := files.ReadDir("files/systemd")
	if err != nil {
		return err
	}
	const etc = "/etc/systemd/system/"
	for _, unit := range units {
		text, err := files.ReadFile("files/systemd/" + unit.Name())
		if err != nil {
			return err
		}
		wants := etc + "multi-user.target.wants/" + unit.Name()
		for _, path := range []string{etc + unit.Name(), wants} { // Debian's sshd.service is a link, which must not be written through
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		if err := writeFile(etc+unit.Name(), string(text), 0o644); err != nil {
			return err
		}
		if err := os.MkdirAll(etc+"multi-user.target.wants", 0o755); err != nil {
			return err
		}
		if err := os.Symlink(etc+unit.Name(), wants); err != nil {
			return err
		}
	}
	return nil
}
