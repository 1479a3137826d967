package install

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"nixos-staged-hive/internal/remote"
	"nixos-staged-hive/internal/run"
)

// Diagnosis is a host that did not answer as its mini system in time, with all that is known about why.
type Diagnosis struct {
	Host       string        `json:"host"`
	Waited     time.Duration `json:"waited"`
	Tried      []Observation `json:"tried"`
	Neighbours []Neighbour   `json:"neighbours"` // machines near this computer with one of the host's cards
	Screen     []Sight       `json:"screen"`     // what may be seen on the machine's screen
}

// Sight is something that a screen may show, what it means, and what to do.
type Sight struct {
	Seen   string `json:"seen"`
	Advice string `json:"advice"`
}

func (d *Diagnosis) Error() string {
	lines := []string{fmt.Sprintf("%s did not answer as its mini system within %s", d.Host, d.Waited.Round(time.Second))}
	for _, o := range d.Tried {
		lines = append(lines, o.Address+" ("+o.Why+"): "+o.Said)
	}
	return strings.Join(lines, "\n")
}

// Hint says what the user can do: what the addresses said, then what the screen may show.
func (d *Diagnosis) Hint() string {
	var hints []string
	for _, o := range d.Tried {
		if o.Advice != "" && !slices.Contains(hints, o.Advice) {
			hints = append(hints, o.Advice)
		}
	}
	for _, s := range d.Screen {
		hints = append(hints, "if the screen shows "+s.Seen+": "+s.Advice)
	}
	return strings.Join(hints, "\n")
}

// diagnose looks closer at what did not work: that costs a connection more for an address with another key.
func (w *watch) diagnose(ctx context.Context, candidates places, tried []Observation) *Diagnosis {
	d := &Diagnosis{Host: w.Host.Name, Waited: time.Since(w.began), Neighbours: w.neighbours, Screen: w.sights(tried)}
	for i, o := range tried {
		if o.reason == remote.HostKeyChanged {
			o = w.stranger(ctx, candidates[i], o)
		}
		d.Tried = append(d.Tried, o)
	}
	return d
}

// stranger says whose key it is, as far as that is known.
func (w *watch) stranger(ctx context.Context, at place, o Observation) Observation {
	fingerprint, err := w.peek(ctx, at)
	switch {
	case err != nil:
		return o
	case w.MediumKey != "" && fingerprint == w.MediumKey:
		o.Said = "the medium still runs there"
		o.Advice = "the machine was not restarted, or its firmware started the medium again: take the medium out, and restart it"
	default:
		o.Said = "it shows another host key, " + fingerprint
		o.Advice = "another machine has this address; or the host made a key of its own, because the medium had none: compare with its screen"
	}
	return o
}

// sights are what to look for, most likely first for what the addresses said.
func (w *watch) sights(tried []Observation) []Sight {
	login := Sight{
		"a login prompt of " + w.Host.HostName,
		"the mini system runs, and only the network is wrong: is the cable in, and are interface, address and gateway of the definition right? " +
			"`networkctl status` there tells",
	}
	for _, i := range w.Host.Network.Interfaces {
		if i.DHCP != "" {
			login.Advice += "; with DHCP it may have another address: `ip address` there shows it, or the router's list of leases"
			break
		}
	}
	all := []Sight{
		{"the banner of the medium", "the firmware started it again: take the medium out, or choose the disk in the firmware's menu"},
		{"the firmware's own menu, or \"no bootable device\"", "its order of devices does not have the disk: choose it there. Start the medium again, and run `setup` in mode keep if it is not offered"},
		{"a question for a passphrase", "the disks are encrypted: type it"},
		{"messages that end with \"Kernel panic\" or an emergency shell", "the mini system does not find its disks: start the medium again, and look at /var/lib/nixos-staged-hive/setup/setup.log on the installed disk"},
	}
	up := slices.ContainsFunc(tried, func(o Observation) bool {
		return o.reason == "" || o.reason == remote.Refused || o.reason == remote.Denied || o.reason == remote.HostKeyChanged
	})
	if up {
		return append([]Sight{login}, all...)
	}
	return append(all, login)
}

// Neighbour is a machine that this computer has lately spoken with on its own network.
type Neighbour struct {
	Address   string `json:"address"` // with the zone if it is link-local
	MAC       string `json:"mac"`
	Interface string `json:"interface"` // of this computer
	State     string `json:"state"`     // REACHABLE, STALE, ...: ip-neighbour(8)
}

// neighboursOf asks the kernel of this computer which addresses the cards have. Without the program ip, or without MACs, nothing is known. The
// table holds only machines that something was sent to lately: DHCP and multicast DNS usually see to that.
func neighboursOf(ctx context.Context, local run.Runner, macs []string) []Neighbour {
	if len(macs) == 0 || local == nil {
		return nil
	}
	out, err := run.Output(ctx, local, run.Command{Name: "ip", Args: []string{"-json", "neighbour", "show"}})
	if err != nil {
		return nil
	}
	return parseNeighbours(out, macs)
}

// parseNeighbours reads what `ip -json neighbour` prints (iproute2 4.14 and later).
func parseNeighbours(text []byte, macs []string) []Neighbour {
	var rows []struct {
		Destination string   `json:"dst"`
		Device      string   `json:"dev"`
		MAC         string   `json:"lladdr"`
		State       []string `json:"state"`
	}
	if json.Unmarshal(text, &rows) != nil {
		return nil
	}
	var found []Neighbour
	for _, row := range rows {
		address, err := netip.ParseAddr(row.Destination)
		mac := strings.ToLower(row.MAC)
		if err != nil || !slices.Contains(macs, mac) || slices.Contains(row.State, "FAILED") {
			continue
		}
		if address.IsLinkLocalUnicast() && address.Is6() {
			address = address.WithZone(row.Device)
		}
		found = append(found, Neighbour{address.String(), mac, row.Device, strings.Join(row.State, " ")})
	}
	return found
}
