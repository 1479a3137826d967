package install

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"nixos-staged-hive/internal/remote"
)

// Observation is what one address said when it was tried, and what may be done about it.
type Observation struct {
	Address string `json:"address"` // with the port unless that is 22
	Why     string `json:"why"`     // why it was tried: "given", "fixed address", "found on the network", ...
	Said    string `json:"said"`    // one line
	Advice  string `json:"advice"`  // one sentence; may be empty
	// Final says that a machine answered and waiting longer will not change it.
	Final bool `json:"final"`

	reason remote.Reason // empty if a machine was spoken with
}

func (o Observation) String() string {
	text := o.Address + " (" + o.Why + "): " + o.Said
	if o.Advice != "" {
		text += "; " + o.Advice
	}
	return text
}

// observe turns an error of reaching a machine into what is told about it.
func observe(at place, err error) Observation {
	o := Observation{Address: at.String(), Why: at.why, Said: err.Error()}
	if own, ok := errors.AsType[*saidError](err); ok {
		o.Said, o.Advice, o.Final = own.said, own.advice, own.final
		return o
	}
	connection, ok := errors.AsType[*remote.ConnectionError](err)
	if !ok {
		o.Final = true // no ssh on this computer: nothing to wait for
		return o
	}
	o.reason, o.Said, o.Advice = connection.Reason, string(connection.Reason), connection.Hint()
	if connection.Text != "" && !strings.EqualFold(connection.Text, o.Said) {
		o.Said += " (" + connection.Text + ")"
	}
	switch connection.Reason {
	case remote.Denied, remote.HostKeyChanged, remote.HostKeyUnknown, remote.Unusable:
		o.Final = true
	}
	return o
}

// saidError is a machine that answered, and not as it should.
type saidError struct {
	said, advice string
	final        bool
}

func (e *saidError) Error() string { return e.said }

func final(advice, format string, args ...any) error {
	return &saidError{said: fmt.Sprintf(format, args...), advice: advice, final: true}
}

func passing(advice, format string, args ...any) error {
	return &saidError{said: fmt.Sprintf(format, args...), advice: advice}
}

// place is an address to try.
type place struct {
	host string // IPv4 or IPv6 address, with a zone if needed, or a name
	port int    // 0 is 22
	why  string
}

func (p place) String() string {
	if p.port == 0 || p.port == 22 {
		return p.host
	}
	return net.JoinHostPort(p.host, strconv.Itoa(p.port))
}

// parsePlace reads ADDRESS, NAME, ADDRESS:PORT or [IPV6]:PORT.
func parsePlace(text string, port int, why string) (place, error) {
	if _, err := netip.ParseAddr(text); err == nil {
		return place{text, port, why}, nil
	}
	if inner, ok := strings.CutPrefix(text, "["); ok && strings.HasSuffix(inner, "]") {
		return place{strings.TrimSuffix(inner, "]"), port, why}, nil
	}
	if !strings.Contains(text, ":") {
		if text == "" {
			return place{}, errors.New("the address is empty")
		}
		return place{text, port, why}, nil
	}
	host, digits, err := net.SplitHostPort(text)
	if err != nil || host == "" {
		return place{}, fmt.Errorf("%q is neither an address nor ADDRESS:PORT", text)
	}
	number, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || number == 0 {
		return place{}, fmt.Errorf("%q: %q is no port", text, digits)
	}
	return place{host, int(number), why}, nil
}

// ParseAddress reads ADDRESS, NAME, ADDRESS:PORT or [IPV6]:PORT. The port is 0 where none is given.
func ParseAddress(text string) (address string, port int, err error) {
	p, err := parsePlace(text, 0, "")
	return p.host, p.port, err
}

// places collects addresses, each once; the first reason for one stays.
type places []place

func (p *places) add(host string, port int, why string) {
	if port == 0 {
		port = 22
	}
	for _, have := range *p {
		if strings.EqualFold(have.host, host) && have.port == port {
			return
		}
	}
	if host != "" {
		*p = append(*p, place{host, port, why})
	}
}
