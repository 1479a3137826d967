package machine

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/hive"
)

func manifest(hosts ...hive.MediumHost) hive.Manifest {
	return hive.Manifest{Schema: hive.ManifestSchema, Hosts: hosts}
}

func host(name string, change func(p *hive.Plan)) hive.MediumHost {
	h := hive.MediumHost{Name: name, Plan: hive.Plan{Name: name, HostName: name}}
	if change != nil {
		change(&h.Plan)
	}
	return h
}

func TestRecognise(t *testing.T) {
	byMAC := func(p *hive.Plan) { p.Match.MACs = []string{"AA:BB:CC:00:00:01"} }
	byCard := func(p *hive.Plan) { p.Interfaces = []hive.Interface{{MAC: "aa:bb:cc:00:00:02", Kind: "wireless"}} }
	bySerial := func(p *hive.Plan) { p.Match.Serials = []string{"other", "PF2ABCDE"} }
	byUUID := func(p *hive.Plan) { p.Match.UUIDs = []string{"4C4C4544-0042-3510-8054-B7C04F4E4D32"} }
	elsewhere := func(p *hive.Plan) { p.Match.Serials = []string{"somebody else's"} }
	for _, tt := range []struct {
		name  string
		m     hive.Manifest
		named string
		want  string
		why   string
		says  string
	}{
		{"the only one", manifest(host("alpha", nil)), "", "alpha", WhyOnly, ""},
		{"named", manifest(host("alpha", byMAC), host("beta", nil)), "beta", "beta", WhyNamed, ""},
		{"named by its host name", manifest(host("alpha", nil), host("beta", func(p *hive.Plan) { p.HostName = "nas" })), "nas", "beta", WhyNamed, ""},
		{"named by a host name of two", manifest(host("alpha", func(p *hive.Plan) { p.HostName = "nas" }), host("beta", func(p *hive.Plan) { p.HostName = "nas" })), "nas", "", "", `no host "nas"`},
		{"a name that is not there", manifest(host("alpha", nil)), "gamma", "", "", `it has alpha`},
		{"mac", manifest(host("alpha", nil), host("beta", byMAC)), "", "beta", WhyMAC, ""},
		{"mac of an interface", manifest(host("alpha", nil), host("beta", byCard)), "", "beta", WhyMAC, ""},
		{"serial", manifest(host("alpha", nil), host("beta", bySerial)), "", "beta", WhySerial, ""},
		{"uuid", manifest(host("alpha", byUUID), host("beta", nil)), "", "alpha", WhyUUID, ""},
		{"none of several", manifest(host("alpha", nil), host("beta", elsewhere)), "", "", "", "one of alpha and beta"},
		{"two by different facts", manifest(host("alpha", byMAC), host("beta", bySerial)), "", "", "", "alpha (mac aa:bb:cc:00:00:01) and beta (serial PF2ABCDE)"},
		{"two by the same card", manifest(host("alpha", byMAC), host("beta", byMAC)), "", "", "", "several hosts match"},
		{"one by two facts", manifest(host("alpha", func(p *hive.Plan) { byMAC(p); bySerial(p) }), host("beta", nil)), "", "alpha", WhyMAC, ""},
		{"the only one, for another machine", manifest(host("alpha", elsewhere)), "", "", "", "this is not its machine"},
		{"the only one, for another machine, named", manifest(host("alpha", elsewhere)), "alpha", "alpha", WhyNamed, ""},
		{"the MAC of a bridge", manifest(host("alpha", func(p *hive.Plan) {
			p.Interfaces = []hive.Interface{{MAC: "aa:bb:cc:00:00:01", Kind: "bridge"}}
		}), host("beta", nil)), "", "", "", "one of"},
		{"nobody", manifest(), "", "", "", "one of none"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, why, err := Recognise(tt.m, laptop(), tt.named)
			if got.Name != tt.want || why != tt.why || (err == nil) != (tt.says == "") {
				t.Errorf("got %q by %q, %v", got.Name, why, err)
			}
			if err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%q is not in %q", tt.says, err)
			}
		})
	}
}

func TestRecogniseSaysWhatToChooseFrom(t *testing.T) {
	_, _, err := Recognise(manifest(host("alpha", nil), host("beta", nil)), laptop(), "")
	var choice *NeedsChoiceError
	if !errors.As(err, &choice) || !slices.Equal(choice.Hosts, []string{"alpha", "beta"}) || choice.Refused {
		t.Errorf("got %#v", err)
	}
	_, _, err = Recognise(manifest(host("alpha", nil)), laptop(), "x")
	var unknown *UnknownHostError
	if !errors.As(err, &unknown) || unknown.Name != "x" {
		t.Errorf("got %#v", err)
	}
}

// TestMachineWithoutFactsMatchesNobody keeps placeholders and empty values from being the same.
func TestMachineWithoutFactsMatchesNobody(t *testing.T) {
	m := manifest(host("alpha", func(p *hive.Plan) {
		p.Match = hive.Match{MACs: []string{""}, Serials: []string{""}, UUIDs: []string{""}}
		p.Interfaces = []hive.Interface{{Kind: "ethernet", Name: "eth0"}}
	}), host("beta", nil))
	if got := Matches(m, hive.Machine{Cards: []hive.Card{{Name: "x"}}}); len(got) > 0 {
		t.Errorf("got %v", got)
	}
}

func TestOtherHostsAreToldOf(t *testing.T) {
	m := manifest(host("alpha", nil), host("beta", func(p *hive.Plan) { p.Match.Serials = []string{"PF2ABCDE"} }))
	expect(t, OtherHosts(m, laptop(), "alpha"), "warning other-host")
	if got := OtherHosts(m, laptop(), "beta"); len(got) > 0 {
		t.Errorf("got %v", got)
	}
}
