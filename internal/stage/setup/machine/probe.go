package machine

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"nixos-staged-hive/internal/blockdev"
	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
)

// survey tells what is neither a disk nor an address, see the file.
//
//go:embed survey.sh
var survey string

// Probe looks at a machine, here or through r on another one: any running Linux with sh and lsblk. Addresses and permanent MACs need ip of
// iproute2 and are left out without it; serial numbers of the machine and what lies on its disks need root.
func Probe(ctx context.Context, r run.Runner) (hive.Machine, error) {
	told, err := run.Output(ctx, r, run.Command{Name: "sh", Args: []string{"-s"}, Stdin: strings.NewReader(survey)})
	if err != nil {
		return hive.Machine{}, fmt.Errorf("look at the machine: %w", err)
	}
	seen, err := readSurvey(string(told))
	if err != nil {
		return hive.Machine{}, fmt.Errorf("look at the machine: %w", err)
	}
	devices, err := blockdev.List(ctx, r)
	if err != nil {
		return hive.Machine{}, err
	}
	links, err := addresses(ctx, r)
	if err != nil {
		return hive.Machine{}, err
	}
	m := seen.machine
	m.Devices = devices
	m.Medium = seen.medium(devices)
	m.Cards = withAddresses(m.Cards, links)
	return m, nil
}

// link is one interface as `ip -json address` tells it (iproute2 4.15 and later; permaddr since 5.5).
type link struct {
	Name      string `json:"ifname"`
	Permanent string `json:"permaddr"` // only where the MAC was changed
	Addresses []struct {
		Address string `json:"local"`
		Length  int    `json:"prefixlen"`
	} `json:"addr_info"`
}

// addresses asks ip. That there is none, or one that knows no JSON (busybox), is no error: a machine is known without.
func addresses(ctx context.Context, r run.Runner) ([]link, error) {
	links, err := run.JSON[[]link](ctx, r, run.Command{Name: "ip", Args: []string{"-json", "address", "show"}})
	if cause := context.Cause(ctx); cause != nil {
		return nil, fmt.Errorf("ask for the addresses of the machine: %w", cause)
	}
	if err != nil {
		return nil, nil //nolint:nilerr // see above
	}
	return links, nil
}

func withAddresses(cards []hive.Card, links []link) []hive.Card {
	for i := range cards {
		at := slices.IndexFunc(links, func(l link) bool { return l.Name == cards[i].Name })
		if at < 0 {
			continue
		}
		if links[at].Permanent != "" {
			cards[i].MAC = strings.ToLower(links[at].Permanent)
		}
		for _, a := range links[at].Addresses {
			if ip, err := netip.ParseAddr(a.Address); err == nil {
				cards[i].Addresses = append(cards[i].Addresses, netip.PrefixFrom(ip, a.Length).String())
			}
		}
	}
	return cards
}

// surveyed is what survey.sh told.
type surveyed struct {
	machine hive.Machine      // without devices, addresses and medium
	mounts  []mount           // in the order in which they were mounted
	loops   map[string]string // backing file by device number
}

// readSurvey reads the lines of survey.sh. Words that it does not know are an error: they would be a survey of another version.
func readSurvey(text string) (surveyed, error) {
	s := surveyed{machine: hive.Machine{Schema: hive.ManifestSchema}, loops: map[string]string{}}
	var model, serial string // of a board
	for line := range strings.Lines(text) {
		word, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !ok {
			return surveyed{}, fmt.Errorf("read the survey: no tab in %q", line)
		}
		var err error
		switch word {
		case "board_model":
			model = honest(value)
		case "board_serial":
			serial = honest(value)
		case "mount":
			err = s.addMount(value)
		case "loop":
			number, file, _ := strings.Cut(value, "\t")
			s.loops[number] = file
		case "card":
			err = s.addCard(value)
		default:
			err = s.addFact(word, value)
		}
		if err != nil {
			return surveyed{}, fmt.Errorf("read the survey: %q: %w", line, err)
		}
	}
	p := &s.machine.Product
	if p.Name == "" {
		p.Name = model
	}
	if p.Serial == "" {
		p.Serial = serial
	}
	return s, s.complete()
}

// complete refuses a survey that was cut off.
func (s surveyed) complete() error {
	if s.machine.Firmware == "" || s.machine.Platform == "" || s.machine.Memory == 0 {
		return errors.New("read the survey: it lacks firmware, platform or memory")
	}
	return nil
}

func (s *surveyed) addFact(word, value string) error {
	m := &s.machine
	var err error
	switch word {
	case "host":
		m.HostName = value
	case "kernel":
		m.Kernel = value
	case "architecture":
		m.Platform = platform(value)
	case "firmware":
		m.Firmware = value
	case "secure":
		m.Secure = value == "1"
	case "sys_vendor":
		m.Product.Vendor = honest(value)
	case "product_name":
		m.Product.Name = honest(value)
	case "product_serial":
		m.Product.Serial = honest(value)
	case "product_uuid":
		m.Product.UUID = honestUUID(value)
	case "cpu":
		m.CPU.Model = strings.Join(strings.Fields(value), " ")
	case "cores":
		m.CPU.Cores, err = strconv.Atoi(value)
	case "memory":
		var kib int64
		kib, err = strconv.ParseInt(value, 10, 43) // and as many bytes fit into an int64
		m.Memory = kib * 1024
	case "module":
		m.Modules = append(m.Modules, value)
	default:
		err = errors.New("unknown word")
	}
	if err != nil {
		return fmt.Errorf("fact: %w", err)
	}
	return nil
}

func (s *surveyed) addCard(value string) error {
	f := strings.Split(value, "\t")
	if len(f) != 6 {
		return fmt.Errorf("a card with %d fields instead of 6", len(f))
	}
	card := hive.Card{Name: f[0], MAC: strings.ToLower(f[1]), Driver: f[2], Carrier: f[3] == "1", Wireless: f[5] == "1"}
	if speed, err := strconv.Atoi(f[4]); err == nil && speed > 0 { // -1 and nothing at all: not known
		card.Speed = speed
	}
	s.machine.Cards = append(s.machine.Cards, card)
	return nil
}

// platform is Nix's name of a machine type of uname.
func platform(architecture string) string {
	switch architecture {
	case "amd64":
		architecture = "x86_64"
	case "i386", "i486", "i586":
		architecture = "i686"
	case "arm64":
		architecture = "aarch64"
	case "armv8l":
		architecture = "armv7l"
	}
	return architecture + "-linux"
}
