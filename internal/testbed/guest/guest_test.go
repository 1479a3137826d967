package guest

import (
	"strings"
	"testing"
)

// TestGuest boots once: the script runs as root, with the files it was given and devices that udev knows.
func TestGuest(t *testing.T) {
	image := Prepare(t)
	out := image.Run(t, []string{"-nodefaults", "-drive", "driver=null-co,size=1M,if=none,id=d", "-device", "virtio-blk-pci,drive=d,serial=hello"},
		"id -u; cat /etc/greeting; ls /dev/disk/by-id; uname -r; udevadm --version", map[string]string{"/etc/greeting": "good morning\n"})
	want := "0\ngood morning\nvirtio-hello\n" + image.Release + "\n"
	if !strings.HasPrefix(out, want) {
		t.Errorf("got %q, want %q", out, want)
	}
}
