package vm

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"nixos-staged-hive/internal/testbed/guest"
)

// serve is a machine with an address of its own, which serves a page and tells what happens to its cable and its disk.
const serve = `
card=$(ls /sys/class/net | grep -v lo)
ip link set lo up; ip link set $card up; ip addr add 10.7.0.10/24 dev $card
mkdir /www; echo hello > /www/index.html; httpd -p 80 -h /www
first() { echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/vda of=/dev/null bs=4096 count=1 2>/dev/null; }
printf flushed | dd of=/dev/vda bs=4096 seek=8 conv=sync,fsync 2>/dev/null && echo "saw: flushed"
while [ $(cat /sys/class/net/$card/carrier) = 1 ]; do sleep 0.2; done; echo "saw: no link"
until [ $(cat /sys/class/net/$card/carrier) = 1 ]; do sleep 0.2; done; echo "saw: a link"
while first; do sleep 0.2; done; echo "saw: no disk"
until first; do sleep 0.2; done; echo "saw: a disk"
sleep 100000`

// visit is one that takes the address it is given and looks at the page.
const visit = `
card=$(ls /sys/class/net | grep -v lo)
ip link set lo up; ip link set $card up
printf '#!/bin/sh\nif [ "$1" = bound ]; then ip addr add $ip/24 dev $interface; echo "saw: $ip"; fi\n' > /bound; chmod +x /bound
udhcpc -q -n -t 20 -i $card -s /bound
ask() { bash -c "exec 3<>/dev/tcp/10.7.0.10/80 && printf 'GET / HTTP/1.0\r\n\r\n' >&3 && tail -n 1 <&3"; }
for try in 1 2 3 4 5 6 7 8 9 10; do page=$(ask); [ "$page" ] && break; sleep 2; done
echo "saw: $page"`

func linux(t *testing.T, image guest.Image, name, script string) Machine {
	t.Helper()
	boot := image.Boot(t, script, nil)
	return Machine{
		Name: name, Firmware: BIOS, MemoryMiB: 512,
		Kernel: &Kernel{Image: boot.Kernel, Initrd: boot.Initrd, CommandLine: boot.CommandLine},
		Cards:  []Card{{Name: "lan", Network: "lan"}},
	}
}

func TestLinuxMachinesOnANetwork(t *testing.T) {
	// The clients of busybox look names up even if there are none, and crash.
	image := guest.Prepare(t, guest.Extra{Packages: []string{"bash"}, Programs: []string{"/bin/bash"}})
	l := openLab(t, testHost(t, Wish{}))
	s := startNetwork(t, l, Network{
		Name: "lan", Subnet: "10.7.0.0/24", Forwards: []Forward{{Name: "page", Address: "10.7.0.10", Port: 80}},
	})
	server := linux(t, image, "server", serve)
	server.Disks = []Disk{{Name: "d", SizeBytes: 64 << 20, Bus: Virtio}}
	visitor := linux(t, image, "visitor", visit)
	r, err := l.Start(soon(t), server, StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	v, err := l.Start(soon(t), visitor, StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, v, "saw: 10.7.0.128")
	expect(t, r, "saw: flushed")
	expect(t, v, "saw: hello")
	ends(t, v, GuestShutdown)
	page(t, s)

	steps := []struct {
		name string
		do   func(context.Context, string) error
		part string
		want string
	}{
		{"unplug", r.Unplug, "lan", "saw: no link"},
		{"plug", r.Plug, "lan", "saw: a link"},
		{"remove disk", r.RemoveDisk, "d", "saw: no disk"},
		{"return disk", r.ReturnDisk, "d", "saw: a disk"},
	}
	for _, step := range steps {
		if err := step.do(soon(t), step.part); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		expect(t, r, step.want)
	}
	page(t, s)
	save(t, r, "serving")
	page(t, s)
	r.Cut()
	ends(t, r, PowerCut)

	if r, err = l.Start(soon(t), server, StartOptions{From: "serving"}); err != nil {
		t.Fatal(err)
	}
	page(t, s)
	r.Cut()

	// What was flushed before the cuts is there for another system on the same disk.
	again := linux(t, image, "server", `echo "saw: $(dd if=/dev/vda bs=4096 skip=8 count=1 2>/dev/null | tr -d '\0')"`)
	again.Disks = server.Disks
	if r, err = l.Start(soon(t), again, StartOptions{}); err != nil {
		t.Fatal(err)
	}
	ends(t, r, GuestShutdown)
	expect(t, r, "saw: flushed")
}

// page reads what the server shows through the forward, as soon as it does.
func page(t *testing.T, s *Segment) {
	t.Helper()
	ctx := soon(t)
	for {
		text, err := get(ctx, fmt.Sprintf("http://127.0.0.1:%d/", s.Port("page")))
		if err == nil && text == "hello\n" {
			return
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("got %q, %v", text, err)
		}
	}
}

func get(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(ask)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return string(text), err
}

func TestFirmwareKeepsItsVariables(t *testing.T) {
	image := guest.Prepare(t, guest.Extra{Modules: []string{"efivarfs"}})
	l := openLab(t, testHost(t, Wish{UEFI: true}))
	// Linux can be given to UEFI firmware directly, too; its variables are files then.
	script := func(text string) Machine {
		m := linux(t, image, "board", "mount -t efivarfs efivarfs /sys/firmware/efi/efivars\n"+text)
		m.Firmware, m.Cards = UEFI, nil
		return m
	}
	const variable = "/sys/firmware/efi/efivars/StagedHive-12345678-1234-1234-1234-123456789abc"
	look := script("[ -e " + variable + " ] && echo 'saw: it' || echo 'saw: nothing'")
	run := func(m Machine, o StartOptions, want string) {
		t.Helper()
		r, err := l.Start(soon(t), m, o)
		if err != nil {
			t.Fatal(err)
		}
		ends(t, r, GuestShutdown)
		log, err := os.ReadFile(r.SerialLog())
		if err != nil || !strings.Contains(string(log[r.console:]), want) {
			t.Fatalf("no %q, %v:\n%s", want, err, log)
		}
	}
	run(script(`printf '\007\000\000\000kept' > `+variable+" && echo 'saw: done'"), StartOptions{}, "saw: done")
	run(look, StartOptions{}, "saw: it")
	run(look, StartOptions{ResetNVRAM: true}, "saw: nothing")
}
