package lab

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/testbed/need"
	"nixos-staged-hive/internal/vm"
)

// wanted skips trials that were not asked for: each takes many minutes of two processors.
func wanted(t *testing.T, name string) {
	t.Helper()
	asked := strings.Split(os.Getenv("STAGED_HIVE_LAB"), ",")
	if !slices.Contains(asked, name) && !slices.Contains(asked, "all") {
		need.Skip(t, "a virtual machine for many minutes: make lab")
	}
	for _, p := range []string{"nix-build", "qemu-system-x86_64", "qemu-img", "ssh"} {
		need.Program(t, p)
	}
}

// TestUnattended switches a machine on that has a medium in it, no link on its network card, and nobody at its keyboard. It wants it to become its
// mini system, which is reached as soon as there is a cable; and a stick that was forgotten in it to change nothing.
func TestUnattended(t *testing.T) {
	wanted(t, "barn")
	disks, err := vm.DisksFor([]string{"/dev/disk/by-id/ata-ST3500418AS_9VM0BARN"})
	if err != nil {
		t.Fatal(err)
	}
	disks.Disks[0].SizeBytes = 8 << 30
	card := vm.Card{Name: "lan", MAC: "52:54:00:77:00:14", Network: "lan"}
	x := begin(t, vm.Machine{Name: "barn", Firmware: vm.BIOS, Disks: disks.Disks, Cards: []vm.Card{card}}, "192.168.77.14")
	medium := x.writeMedium("medium.img")

	x.step("the machine starts from its medium, without a network")
	x.on(medium)
	x.must(x.running.Unplug(x.ctx, "lan"))
	x.console("barn login:", 1)
	x.step("the mini system has started; the cable is plugged in")
	x.must(x.running.Plug(x.ctx, "lan"))
	x.login("mia")
	x.isMini(
		"findmnt --noheadings --source /dev/mapper/barn-root --target /",
		"findmnt --noheadings --source /dev/mapper/barn-home --target /home",
		"sudo test -s /var/lib/nixos-staged-hive/setup/setup.log",
	)
	x.wants("mia", "sudo dd if=/dev/urandom of=/home/photos bs=1M count=16 status=none && sync && ls -d /sys/firmware/efi 2>/dev/null || echo no efi", "no efi")
	sum := x.mustSay("mia", "sudo sha256sum /home/photos")
	profile := x.mustSay("mia", "readlink /nix/var/nix/profiles/system")

	x.step("it is restarted, and the medium is still in")
	_, _ = x.sh("mia", "sudo systemctl reboot") // ends the connection
	x.console("barn login:", 2)
	x.login("mia")
	x.isMini()
	x.wants("mia", "sudo sha256sum /home/photos", sum)
	x.wants("mia", "readlink /nix/var/nix/profiles/system", profile)
	x.step("the forgotten medium has changed nothing")
}

// passphrase opens the encrypted disk. Its keys are in the same place on most layouts.
const passphrase = "jjjjjjjj"

// TestEncrypted installs a machine over SSH, by the program's own commands alone, again and again: beside a disk whose partitions have the same
// names, over itself, with a disk more, and the way that left the original project's machines without a boot loader: formatted, switched off,
// and then installed without formatting.
func TestEncrypted(t *testing.T) {
	wanted(t, "vault")
	x := begin(t, vm.Machine{
		Name: "vault", Firmware: vm.UEFI, Cards: []vm.Card{{Name: "lan", MAC: "52:54:00:77:00:13", Network: "lan"}},
		Disks: []vm.Disk{
			{Name: "main", Bus: vm.Virtio, SizeBytes: 8 << 30, Serial: "VAULT-MAIN"},
			{Name: "data", Bus: vm.Virtio, SizeBytes: 2 << 30, Serial: "VAULT-DATA"},
		},
	}, "192.168.77.13")
	x.write("passphrase", passphrase)
	x.done(x.hive("secret", "set", "vault", "/run/nixos-staged-hive/passphrase", "--from", x.file("passphrase")))
	first := x.writeMedium("first.img")

	x.step("the machine starts from its medium")
	x.on(first)
	x.login("root")
	if found := x.hive("hardware", "-n", "vault", x.address()); found.code != 0 || !strings.Contains(found.out, `"VAULT-MAIN"`) {
		t.Errorf("hardware does not tell the disk: exit code %d\n%s\n%s", found.code, found.out, found.err)
	}
	x.refusesTwin()

	x.step("install --remote, on a blank disk")
	x.install()
	x.isMini("findmnt --source /dev/mapper/vault-root --target /", "lsblk --noheadings --output TYPE /dev/mapper/vault | grep crypt")
	x.mustSay("mia", "sudo dd if=/dev/urandom of=/home/photos bs=1M count=16 status=none && sync")
	sum := x.mustSay("mia", "sudo sha256sum /home/photos")
	_, _ = x.sh("mia", "sudo systemctl poweroff")
	x.off()

	x.step("a second disk belongs to the host now; its new medium is in the machine")
	x.write("workspace/nixConfigs/vault/default.nix", "{ imports = [ ../../common ./main.nix ./data.nix ]; }\n")
	second := x.writeMedium("second.img")
	x.on(second)
	x.login("root")
	x.step("install --remote --mode add")
	x.install("--mode", "add")
	x.isMini("findmnt --source /dev/vdb1 --target /data")
	x.wants("mia", "sudo sha256sum /home/photos", sum)
	x.mustSay("mia", "sudo cp /home/photos /data/photos && sync")

	x.step("it starts from the medium again")
	_, _ = x.sh("mia", "sudo systemctl poweroff") // ends the connection
	x.off()
	x.on(second)
	x.login("root")
	x.step("install --remote --mode keep, over what is there")
	x.done(x.hive("install", "-n", "vault", "--remote", x.address(), "--mode", "keep", "--then", "stay"))
	x.mustSay("root", "setup run --mode keep --until mount")
	x.wants("root", "cd /mnt && sha256sum home/photos data/photos | cut -d' ' -f1 | uniq", strings.Fields(sum)[0])

	x.step("formatted, and switched off before anything was installed")
	x.mustSay("root", "setup run --mode fresh --until format --confirm VAULT-MAIN --confirm VAULT-DATA")
	x.running.Cut()
	x.on(second)
	x.login("root")
	x.step("installed without formatting")
	x.install("--mode", "keep")
	x.isMini("findmnt --source /dev/mapper/vault-home --target /home", "findmnt --source /dev/vdb1 --target /data")
	x.wants("mia", "ls /home/photos /data/photos 2>/dev/null | wc -l", "0")
	x.step("and it runs")
}

// refusesTwin gives the second disk partitions with the names of the first one's, as a clone has, and wants no installation to begin. Then
// somebody takes them away.
func (x *trial) refusesTwin() {
	x.Helper()
	x.step("a second disk has partitions with the same names")
	x.mustSay("root", "sgdisk -n 1:0:+64M -c 1:disk-main-ESP -n 2:0:0 -c 2:disk-main-crypt /dev/disk/by-id/virtio-VAULT-DATA && udevadm settle")
	refused := x.hive("install", "-n", "vault", "--remote", x.address(), "--confirm", "VAULT-MAIN", "--confirm", "VAULT-DATA")
	if refused.code != 4 || !strings.Contains(refused.err, "disk-main-ESP") || !strings.Contains(refused.err, "disk-main-crypt") {
		x.Fatalf("installed beside a twin, or refused for another reason: exit code %d\n%s\n%s", refused.code, refused.out, refused.err)
	}
	x.wants("root", "wipefs --noheadings --output TYPE /dev/disk/by-id/virtio-VAULT-MAIN", "")
	x.mustSay("root", "sgdisk --zap-all /dev/disk/by-id/virtio-VAULT-DATA && udevadm settle")
}

// install installs over SSH, and waits until the host answers. The passphrase is typed meanwhile.
func (x *trial) install(more ...string) {
	x.Helper()
	ctx, stop := context.WithCancel(x.ctx)
	restarted := make(chan error, 1)
	go func() {
		err := x.again(ctx)
		if err == nil {
			defer x.unlock(passphrase, 1)()
		}
		restarted <- err
		<-ctx.Done()
	}()
	a := x.hive(append([]string{"install", "-n", x.host, "--remote", x.address(), "--patience", patience.String()}, more...)...)
	stop()
	if err := <-restarted; err != nil {
		x.Errorf("restart from the disk: %v", err)
	}
	x.done(a)
}
