package install

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/secret"
)

// expect waits for web1 where the medium was.
func (m *machine) expect() Expect {
	return Expect{
		Login: m.login(), Host: web1(), HostKey: m.HostKey + " web1", Toplevel: toplevel, Addresses: []string{m.address()}, BootID: bootID,
		Patience: time.Minute,
	}
}

func TestTheMiniSystemIsKnownByItsKeyItsStartAndItsSystem(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	e := m.expect()
	var mu sync.Mutex
	var said []string
	// Each time something is said the machine comes a step further.
	steps := map[string]func(){
		"the medium still runs there, as web1-setup": func() { m.Close() },
		"connection refused":                         func() { m.installed("running"); m.write("root"+bootIDFile, bootID+"\n"); m.Open() },
		"the machine was not restarted yet":          func() { m.system("new", "www", "/nix/store/old", "running") },
		"it runs /nix/store/old instead of " + toplevel: func() {
			m.system("new", "www", toplevel, "starting")
		},
		`its systemd is "starting"`: func() {
			m.write("failed", "smartd.service loaded failed failed S.M.A.R.T.\n")
			m.write("state", "degraded\n")
		},
	}
	e.Progress = func(event progress.Event) {
		if event.State != progress.Running || !strings.HasPrefix(event.Text, m.address()+": ") {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		text, _, _ := strings.Cut(strings.TrimPrefix(event.Text, m.address()+": "), " (")
		said = append(said, text)
		if step := steps[text]; step != nil {
			step()
		}
	}
	got, err := Await(t.Context(), e)
	if err != nil {
		t.Fatalf("%v, after %q", err, said)
	}
	if len(said) < len(steps) {
		t.Errorf("said %q", said)
	}
	if got.Address != m.Address || got.Port != m.Port || got.HostName != "www" || got.System != toplevel || got.BootID != "new" || got.State != "degraded" ||
		!slices.Equal(got.Failed, []string{"smartd.service"}) {
		t.Errorf("got %+v", got)
	}
	if len(got.Next) != 3 || !strings.Contains(got.Next[0].Command, "systemctl status smartd.service") || got.Next[1].Command != "nixos-staged-hive deploy web1" {
		t.Errorf("next %+v", got.Next)
	}
}

// late is what is said of the one address where the machine is, when it does not come.
func late(t *testing.T, m *machine, e Expect) (Observation, *Diagnosis) {
	t.Helper()
	e.Patience = time.Millisecond
	_, err := Await(t.Context(), e)
	d, ok := errors.AsType[*Diagnosis](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	for _, o := range d.Tried {
		if o.Address == m.address() {
			if o.Advice != "" && !strings.Contains(d.Hint(), o.Advice) || !strings.Contains(d.Error(), o.Said) {
				t.Errorf("%v and its hint %q lack %+v", d, d.Hint(), o)
			}
			return o, d
		}
	}
	t.Fatalf("tried %+v", d.Tried)
	return Observation{}, nil
}

func TestWhyAHostDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name         string
		make         func(*machine, *Expect)
		said, advice string
		first        string // of what the screen may show
	}{
		{"the medium still runs", func(*machine, *Expect) {}, "the medium still runs there, as web1-setup", "take the medium out", "a login prompt of www"},
		{"the medium of several hosts still runs", func(m *machine, e *Expect) {
			m.ChangeHostKey()
			e.MediumKey, _ = secret.Fingerprint(m.HostKey)
		}, "the medium still runs there", "take the medium out", "a login prompt of www"},
		{"another machine", func(m *machine, _ *Expect) { m.ChangeHostKey() }, "another host key, SHA256:", "another machine has this address", "a login prompt of www"},
		{"nobody listens", func(m *machine, _ *Expect) { m.Close() }, "connection refused", "does sshd run there", "a login prompt of www"},
		{"our key is not let in", func(m *machine, _ *Expect) { m.Authorize() }, "does not let ", "", "a login prompt of www"},
		{"an older system", func(m *machine, _ *Expect) {
			m.installed("running")
			m.write("root/run/current-system", "/nix/store/old")
		}, "it runs /nix/store/old", "the firmware's order", "a login prompt of www"},
		{"an emergency shell", func(m *machine, _ *Expect) { m.installed("maintenance") }, `its systemd is "maintenance"`, "list-jobs", "a login prompt of www"},
		{"nobody", func(m *machine, _ *Expect) { m.Pause() }, "no answer", "is the machine on", "the banner of the medium"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			e := m.expect()
			tt.make(m, &e)
			o, d := late(t, m, e)
			if !strings.Contains(o.Said, tt.said) || !strings.Contains(o.Advice, tt.advice) || d.Screen[0].Seen != tt.first {
				t.Errorf("got %+v and first %q", o, d.Screen[0].Seen)
			}
			if !strings.Contains(d.Hint(), "the router's list of leases") { // the host has DHCP
				t.Errorf("hint %q", d.Hint())
			}
			m.Resume()
		})
	}
}

func TestAHostWithoutAKnownKeyIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	if _, err := Await(t.Context(), Expect{Host: web1()}); err == nil || !strings.Contains(err.Error(), "no host key") {
		t.Errorf("got %v", err)
	}
	if _, err := Await(t.Context(), Expect{Host: web1(), HostKey: "ssh-ed25519 AAAA", Addresses: []string{"a:b"}, Login: Login{Local: run.Local{}}}); err == nil {
		t.Error("an address that is none")
	}
}

func TestAWaitForAHostEndsWithItsContext(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	e := m.expect()
	e.Progress = func(event progress.Event) {
		if event.State == progress.Running {
			cancel(enough)
		}
	}
	if _, err := Await(ctx, e); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
}

// table is a computer with neighbours.
type table string

func (n table) Run(_ context.Context, c run.Command) error {
	if c.Name != "ip" {
		return &run.MissingError{Program: c.Name}
	}
	_, err := c.Stdout.Write([]byte(n))
	return err
}

const neighbours = `[
	{"dst":"192.168.1.77","dev":"eth0","lladdr":"52:54:00:12:34:56","state":["REACHABLE"]},
	{"dst":"fe80::5054:ff:fe12:3456","dev":"eth0","lladdr":"52:54:00:12:34:56","router":null,"state":["STALE"]},
	{"dst":"192.168.1.78","dev":"eth0","lladdr":"52:54:00:12:34:57","state":["REACHABLE"]},
	{"dst":"192.168.1.79","dev":"eth0","lladdr":"52:54:00:12:34:56","state":["FAILED"]},
	{"dst":"192.168.1.80","dev":"eth0","state":["INCOMPLETE"]}
]`

func TestANeighbourWithTheHostsCardIsTried(t *testing.T) {
	t.Parallel()
	w := &watch{Expect: Expect{Login: Login{Local: table(neighbours)}, Host: web1(), MACs: []string{"AA:BB:CC:00:00:01", "52:54:00:12:34:56"}}}
	all, err := w.candidates(t.Context())
	check(t, err)
	var hosts []string
	for _, p := range all {
		hosts = append(hosts, p.host)
	}
	if want := []string{"192.168.1.77", "fe80::5054:ff:fe12:3456%eth0", "www.local"}; !slices.Equal(hosts, want) {
		t.Errorf("got %q, want %q", hosts, want)
	}
	want := Neighbour{Address: "192.168.1.77", MAC: "52:54:00:12:34:56", Interface: "eth0", State: "REACHABLE"}
	if len(w.neighbours) != 2 || w.neighbours[0] != want {
		t.Errorf("got %+v", w.neighbours)
	}
	if got := neighboursOf(t.Context(), table("no JSON"), []string{"a"}); got != nil {
		t.Errorf("got %+v", got)
	}
}

func TestAllPlacesAHostMayBeAreTried(t *testing.T) {
	t.Parallel()
	h := web1()
	target := "web1.example.org"
	h.Deployment.TargetHost = &target
	h.Network.Interfaces[0].Addresses = []string{"192.0.2.7/24"}
	w := &watch{Expect: Expect{Login: Login{Local: table("[]")}, Host: h, Addresses: []string{"192.0.2.99", "192.0.2.7:22"}}}
	all, err := w.candidates(t.Context())
	check(t, err)
	var hosts []string
	for _, p := range all {
		hosts = append(hosts, p.host)
	}
	if want := []string{"192.0.2.7", "192.0.2.99", target, "www.local"}; !slices.Equal(hosts, want) {
		t.Errorf("got %q, want %q", hosts, want)
	}
}

func TestWhatAMachineSaysOfItselfIsRead(t *testing.T) {
	t.Parallel()
	got, err := parseWho("id\nwww\n/nix/store/x\nrunning\nsystem\na.service loaded failed failed A\n\nb.mount x\n")
	want := answerer{bootID: "id", hostName: "www", system: "/nix/store/x", state: "running", failed: []string{"a.service", "b.mount"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := parseWho("hello\n"); err == nil {
		t.Error("a greeting was taken")
	}
}

func FuzzWho(f *testing.F) {
	f.Add("id\nwww\n/x\nrunning\nmedium\n")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parseWho(text)
		if err == nil && slices.Contains(a.failed, "") {
			t.Errorf("%q has a unit without a name", text)
		}
	})
}

func FuzzNeighbours(f *testing.F) {
	f.Add([]byte(neighbours))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, n := range parseNeighbours(text, []string{"52:54:00:12:34:56"}) {
			if n.MAC != "52:54:00:12:34:56" || n.Address == "" {
				t.Errorf("%q gives %+v", text, n)
			}
		}
		if !json.Valid(text) && parseNeighbours(text, []string{"a"}) != nil {
			t.Errorf("%q was read", text)
		}
	})
}
