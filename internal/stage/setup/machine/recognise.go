package machine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"nixos-staged-hive/internal/hive"
)

// Why a host was taken to be the machine's, as [hive.Intent] tells it.
const (
	WhyNamed  = "named"
	WhyMAC    = "mac"
	WhySerial = "serial"
	WhyUUID   = "uuid"
	WhyOnly   = "the only one on the medium"
)

// UnknownHostError is a host that was named and is not on the medium.
type UnknownHostError struct {
	Name  string
	Hosts []string // on the medium
}

func (e *UnknownHostError) Error() string {
	return fmt.Sprintf("recognise the machine: no host %q is on this medium: it has %s", e.Name, list(e.Hosts))
}

// Match is a host that says it is this machine.
type Match struct {
	Host  string
	Why   string // WhyMAC, WhySerial or WhyUUID
	Value string // by which
}

func (m Match) String() string { return fmt.Sprintf("%s (%s %s)", m.Host, m.Why, m.Value) }

// AmbiguousError is a machine that several hosts say they are. Nobody but a person can tell which of them is mistaken.
type AmbiguousError struct {
	Matches []Match // at least two, of different hosts
}

func (e *AmbiguousError) Error() string {
	all := make([]string, len(e.Matches))
	for i, m := range e.Matches {
		all[i] = m.String()
	}
	return "recognise the machine: several hosts match it: " + list(all)
}

// NeedsChoiceError is a machine that no host on the medium says it is. A person has to choose.
type NeedsChoiceError struct {
	Hosts []string // to choose from
	// Refused is set where the only host on the medium says by what its machine is recognised (hive.setup.match), and it is not this one.
	Refused bool
}

func (e *NeedsChoiceError) Error() string {
	if e.Refused {
		return fmt.Sprintf("recognise the machine: the medium is for %s, and hive.setup.match says that this is not its machine", list(e.Hosts))
	}
	return "recognise the machine: by no MAC address, serial number or UUID is it one of " + list(e.Hosts)
}

// Recognise says which host of the medium the machine is to become, and why: the one that is named; the one that its MAC addresses, serial
// number or UUID tell; the only one there is. Errors are *UnknownHostError, *AmbiguousError and *NeedsChoiceError.
func Recognise(m hive.Manifest, machine hive.Machine, named string) (hive.MediumHost, string, error) {
	if named != "" {
		host, ok := byName(m, named)
		if !ok {
			return hive.MediumHost{}, "", &UnknownHostError{Name: named, Hosts: names(m.Hosts)}
		}
		return host, WhyNamed, nil
	}
	matches := Matches(m, machine)
	switch {
	case len(matches) > 1:
		return hive.MediumHost{}, "", &AmbiguousError{Matches: matches}
	case len(matches) == 1:
		host, _ := m.Host(matches[0].Host)
		return host, matches[0].Why, nil
	case len(m.Hosts) != 1:
		return hive.MediumHost{}, "", &NeedsChoiceError{Hosts: names(m.Hosts)}
	case says(m.Hosts[0].Plan.Match):
		return hive.MediumHost{}, "", &NeedsChoiceError{Hosts: names(m.Hosts), Refused: true}
	}
	return m.Hosts[0], WhyOnly, nil
}

// byName finds a host by its name, or by its host name where that is one host's only.
func byName(m hive.Manifest, name string) (hive.MediumHost, bool) {
	if host, ok := m.Host(name); ok {
		return host, true
	}
	var found []hive.MediumHost
	for _, h := range m.Hosts {
		if h.Plan.HostName == name {
			found = append(found, h)
		}
	}
	if len(found) != 1 {
		return hive.MediumHost{}, false
	}
	return found[0], true
}

// Matches are the hosts of the medium that say they are this machine, one match for each.
func Matches(m hive.Manifest, machine hive.Machine) []Match {
	var found []Match
	for _, h := range m.Hosts {
		if match, ok := matchOf(h.Plan, machine); ok {
			match.Host = h.Name
			found = append(found, match)
		}
	}
	return found
}

// OtherHosts warns of hosts of the medium that say they are this machine, when it is to become another one.
func OtherHosts(m hive.Manifest, machine hive.Machine, chosen string) []hive.Problem {
	var found []hive.Problem
	for _, match := range Matches(m, machine) {
		if match.Host != chosen {
			found = append(found, hive.Problem{
				Host: chosen, Option: "hive.setup.match", Severity: hive.Warning, Rule: "other-host",
				Message: fmt.Sprintf("by its %s %s the machine is %s, not %s", match.Why, match.Value, match.Host, chosen),
				Way:     fmt.Sprintf("go on only if this machine is to become %s", chosen),
			})
		}
	}
	return found
}

func matchOf(p hive.Plan, machine hive.Machine) (Match, bool) {
	for _, mac := range slices.Concat(p.Match.MACs, plannedMACs(p)) {
		if slices.ContainsFunc(machine.Cards, func(c hive.Card) bool { return sameMAC(c.MAC, mac) }) {
			return Match{Why: WhyMAC, Value: strings.ToLower(mac)}, true
		}
	}
	if serial := machine.Product.Serial; serial != "" && slices.Contains(p.Match.Serials, serial) {
		return Match{Why: WhySerial, Value: serial}, true
	}
	if uuid := machine.Product.UUID; uuid != "" && slices.ContainsFunc(p.Match.UUIDs, func(u string) bool { return strings.EqualFold(u, uuid) }) {
		return Match{Why: WhyUUID, Value: uuid}, true
	}
	return Match{}, false
}

// plannedMACs are those of the host's own cards. Those of a bridge or a macvlan may be invented.
func plannedMACs(p hive.Plan) []string {
	var all []string
	for _, i := range p.Interfaces {
		if i.MAC != "" && hardware(i) {
			all = append(all, i.MAC)
		}
	}
	return all
}

// hardware reports whether an interface of a plan is a card.
func hardware(i hive.Interface) bool {
	return i.Kind == "ethernet" || i.Kind == "wireless"
}

func sameMAC(a, b string) bool { return a != "" && strings.EqualFold(a, b) }

func says(m hive.Match) bool { return len(m.MACs)+len(m.Serials)+len(m.UUIDs) > 0 }

func names(hosts []hive.MediumHost) []string {
	all := make([]string, len(hosts))
	for i, h := range hosts {
		all[i] = h.Name
	}
	return all
}

// list is "a, b and c".
func list(words []string) string {
	if len(words) < 2 {
		return cmp.Or(strings.Join(words, ""), "none")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
