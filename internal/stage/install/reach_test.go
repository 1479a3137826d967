package install

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nixos-staged-hive/internal/discovery"
	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/secret"
)

func TestAMediumWithTheHostsKeyIsReached(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	medium := m.reached(m.address())
	print, err := secret.Fingerprint(m.HostKey)
	check(t, err)
	if !medium.Pinned || medium.Fingerprint != print || medium.BootID != bootID || medium.Address != m.Address || medium.Port != m.Port {
		t.Errorf("got %+v, want %s", medium, print)
	}
	if medium.Host.Name != "web1" || medium.Host.Toplevel != toplevel || medium.Manifest.Volume != "HIVE" {
		t.Errorf("got %+v", medium.Manifest)
	}
}

// unreached is what a quest that must fail says of its one address.
func unreached(t *testing.T, q Quest) Observation {
	t.Helper()
	_, err := Reach(t.Context(), q)
	e, ok := errors.AsType[*UnreachedError](err)
	if !ok || len(e.Tried) != 1 {
		t.Fatalf("got %v", err)
	}
	if e.Tried[0].Advice != "" && !strings.Contains(e.Hint(), e.Tried[0].Advice) {
		t.Errorf("the hint %q lacks %q", e.Hint(), e.Tried[0].Advice)
	}
	return e.Tried[0]
}

func TestAMediumOfSeveralHostsIsBelievedByItsFingerprintAlone(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	known := m.HostKey
	m.ChangeHostKey()
	print, err := secret.Fingerprint(m.HostKey)
	check(t, err)
	for _, key := range []string{known, ""} { // the workspace has another key, or none yet
		q := m.quest()
		q.HostKey = key
		if o := unreached(t, q); !strings.Contains(o.Said, print) || !strings.Contains(o.Advice, "--fingerprint "+print) || !o.Final {
			t.Errorf("nobody trusts it: %+v", o)
		}
		q.Fingerprint = "SHA256:another"
		if o := unreached(t, q); !strings.Contains(o.Said, print+" instead of SHA256:another") {
			t.Errorf("another fingerprint: %+v", o)
		}
		q.Fingerprint = print
		medium, err := Reach(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if medium.Pinned || medium.Fingerprint != print {
			t.Errorf("got %+v", medium)
		}
		check(t, medium.Close())
	}
}

func TestThePersonDecidesAboutAKey(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	q := m.quest()
	q.HostKey = ""
	print, err := secret.Fingerprint(m.HostKey)
	check(t, err)
	answer := false
	q.Trust = func(_ context.Context, address, fingerprint string) (bool, error) {
		if address != m.Address || fingerprint != print {
			t.Errorf("asked about %s at %s", fingerprint, address)
		}
		return answer, nil
	}
	if o := unreached(t, q); !strings.Contains(o.Said, "not confirmed") {
		t.Errorf("got %+v", o)
	}
	answer = true
	medium, err := Reach(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	check(t, medium.Close())
}

func TestWhatIsNotTheMediumIsSaid(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		make  func(*machine)
		want  string
		final bool
	}{
		{"the installed system", func(m *machine) { m.installed("running") }, "the system www answers, and it was not started from a medium", true},
		{"another program called setup", func(m *machine) { m.write("manifest.json", "Choose a tool") }, "the system web1-setup answers", true},
		{"a medium for others", func(m *machine) {
			h := web1()
			h.Name = "nas"
			m.medium(h)
		}, "its medium is for nas", true},
		{"a medium for nobody", func(m *machine) { m.json("manifest.json", hive.Manifest{Schema: hive.ManifestSchema}) }, "for no host", true},
		{"another version", func(m *machine) { m.json("manifest.json", hive.Manifest{Schema: 99}) }, "schema 99 instead of 1", true},
		{"nobody listens", func(m *machine) { m.Close() }, "connection refused", false},
		{"our key is not let in", func(m *machine) { m.Authorize() }, "login denied", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			tt.make(m)
			if o := unreached(t, m.quest()); !strings.Contains(o.Said, tt.want) || o.Final != tt.final || o.Advice == "" {
				t.Errorf("got %+v, want %q in it", o, tt.want)
			}
		})
	}
}

func TestAMachineThatStartsIsWaitedFor(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	q := m.quest()
	m.Close()
	q.Patience = time.Minute
	var once sync.Once
	q.Progress = func(e progress.Event) {
		if e.State == progress.Running && strings.Contains(e.Text, "refused") {
			once.Do(m.Open)
		}
	}
	medium, err := Reach(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	check(t, medium.Close())
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	q := m.quest()
	m.Close()
	q.Patience = time.Hour
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	q.Progress = func(e progress.Event) {
		if e.State == progress.Running {
			cancel(enough)
		}
	}
	if _, err := Reach(ctx, q); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
}

func TestTheNetworkIsAskedUnlessAnAddressWasGiven(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	asked := 0
	q := m.quest()
	q.Find = func(context.Context, time.Duration) ([]discovery.Medium, error) {
		asked++
		return []discovery.Medium{
			{Name: "nas-setup", Hosts: []string{"nas"}, Port: 1, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.9")}},
			{Name: "hive-setup", Hosts: []string{"nas", "web1"}, Port: m.Port, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}},
		}, nil
	}
	given, err := q.candidates(t.Context())
	check(t, err)
	if asked != 0 || len(given) != 1 {
		t.Errorf("with an address: asked %d times, %v", asked, given)
	}
	q.Addresses = nil
	found, err := q.candidates(t.Context())
	check(t, err)
	if len(found) != 1 || found[0].String() != m.address() || !strings.Contains(found[0].why, "hive-setup") {
		t.Errorf("got %+v", found)
	}
	medium, err := Reach(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	check(t, medium.Close())
}

func TestFixedAddressesAndTheNameAreTriedWithoutAnswersFromTheNetwork(t *testing.T) {
	t.Parallel()
	h := web1()
	h.SSH.Ports = []int{2222}
	h.Network.Interfaces = append(h.Network.Interfaces, hive.Interface{Addresses: []string{"192.0.2.7/24", "fe80::1/64", "nonsense", "fd00::7/64"}})
	var warned error
	q := Quest{
		Host:     h,
		Find:     func(context.Context, time.Duration) ([]discovery.Medium, error) { return nil, errors.New("no network") },
		Progress: func(e progress.Event) { warned = e.Err },
	}
	all, err := q.candidates(t.Context())
	check(t, err)
	var texts []string
	for _, p := range all {
		texts = append(texts, p.String())
	}
	if !slices.Equal(texts, []string{"192.0.2.7:2222", "[fd00::7]:2222", "www-setup.local:2222"}) || warned == nil {
		t.Errorf("got %q, warned %v", texts, warned)
	}
}

func TestAddressesAreReadAsPeopleWriteThem(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"192.168.1.7": "192.168.1.7", "192.168.1.7:2222": "192.168.1.7:2222", "web1": "web1", "web1.local:22": "web1.local",
		"fd00::7": "fd00::7", "[fd00::7]": "fd00::7", "[fd00::7]:2222": "[fd00::7]:2222", "fe80::1%eth0": "fe80::1%eth0",
	} {
		if p, err := parsePlace(text, 0, ""); err != nil || p.String() != want {
			t.Errorf("%q: got %q, %v", text, p, err)
		}
	}
	for _, text := range []string{"", ":22", "web1:", "web1:0", "web1:65536", "web1:ssh", "a:b:c"} {
		if p, err := parsePlace(text, 0, ""); err == nil {
			t.Errorf("%q: taken as %q", text, p)
		}
	}
	if _, err := Reach(t.Context(), Quest{Host: web1(), Addresses: []string{"web1:ssh"}}); err == nil {
		t.Error("a port that is none was taken")
	}
}

func FuzzPlace(f *testing.F) {
	for _, text := range []string{"a:1", "[::1]:22", "::1", "[", "a%b:1", "[a]:1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePlace(text, 0, "")
		if err != nil {
			return
		}
		if p.host == "" || p.port < 0 || p.port > 65535 {
			t.Errorf("%q is %+v", text, p)
		}
	})
}

func TestDifferencesOfPlansAreNamed(t *testing.T) {
	t.Parallel()
	then, now := web1(), web1()
	now.Storage.Disks = []hive.Disk{{Name: "main", Device: "/dev/sdb", Table: "gpt"}}
	now.Network.Interfaces = nil
	plan := hive.PlanOf(then)
	hash, err := plan.Hash()
	check(t, err)
	medium := hive.MediumHost{Name: "web1", Plan: plan, PlanHash: hash, Toplevel: toplevel}
	check(t, compare(medium, plan, ""))
	check(t, compare(medium, plan, toplevel))
	err = compare(medium, hive.PlanOf(now), toplevel+"-new")
	other, ok := errors.AsType[*OtherPlanError](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	for i, want := range []string{
		"interfaces: the medium has [{", `storage.disks[0].device: the medium has "/dev/sda", the workspace "/dev/sdb"`,
		"mini system: the medium has " + toplevel + ", the workspace " + toplevel + "-new",
	} {
		if i >= len(other.Differences) || !strings.HasPrefix(other.Differences[i], want) {
			t.Errorf("difference %d of %q should begin with %q", i, other.Differences, want)
		}
	}
	medium.PlanHash = "another version's"
	if err := compare(medium, plan, ""); err == nil || !strings.Contains(err.Error(), "does not know") {
		t.Errorf("a hash alone: %v", err)
	}
	then.Storage.Disks, now.Storage.Disks = nil, nil
	for range 100 {
		then.Storage.Disks = append(then.Storage.Disks, hive.Disk{Name: "x", Device: "a"})
		now.Storage.Disks = append(now.Storage.Disks, hive.Disk{Name: "y", Device: "b"})
	}
	many, err := planDifferences(hive.PlanOf(then), hive.PlanOf(now))
	check(t, err)
	if len(many) != mostDifferences+1 || !strings.HasPrefix(many[mostDifferences], "and ") {
		t.Errorf("%d lines, the last %q", len(many), many[len(many)-1])
	}
}

func FuzzDifferences(f *testing.F) {
	f.Add(`{"a":[1,{"b":2}]}`, `{"a":[1,{"b":3}]}`)
	f.Add(`[]`, `{}`)
	f.Fuzz(func(t *testing.T, a, b string) {
		var x, y any
		if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
			return
		}
		if found := differences("", x, x, nil); len(found) > 0 {
			t.Errorf("%s differs from itself: %q", a, found)
		}
		differences("", x, y, nil)
	})
}
