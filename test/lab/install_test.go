package lab

import (
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
