package state

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func store(name string) string { return "/nix/store/" + strings.Repeat("a", 32) + "-" + name }

func rebuilt(name string) string { return "/nix/store/" + strings.Repeat("b", 32) + "-" + name }

func TestPackageOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ path, name, version string }{
		{"openssl-3.0.13", "openssl", "3.0.13"},
		{"openssl-3.0.13-bin", "openssl", "3.0.13"},
		{"python3.11-requests-2.31.0", "python3.11-requests", "2.31.0"},
		{"nixos-system-web1-24.05.20240531.63dacb4", "nixos-system-web1", "24.05.20240531.63dacb4"},
		{"unit-sshd.service", "unit-sshd.service", ""},
		{"linux-6.6.32-modules", "linux", "6.6.32-modules"},
		{"glibc-2.39-52-getent", "glibc", "2.39-52"},
		{"system-path", "system-path", ""},
		{"gcc-13.2.0-lib", "gcc", "13.2.0"},
		{"etc", "etc", ""},
		{"x-", "x-", ""},
	} {
		if name, version := packageOf(store(tt.path)); name != tt.name || version != tt.version {
			t.Errorf("%s: %q %q, want %q %q", tt.path, name, version, tt.name, tt.version)
		}
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	from := Closure{
		store("same-1.0"): 10, store("linux-6.6.9"): 1000, store("gone-1"): 5, store("rebuilt-1"): 100,
		store("grown"): 100, store("openssl-3.0"): 50, store("openssl-3.0-bin"): 5,
	}
	to := Closure{
		store("same-1.0"): 10, store("linux-6.6.10"): 1500, store("new-2"): 7, rebuilt("rebuilt-1"): 200,
		rebuilt("grown"): 100 + noise, store("openssl-3.0"): 50, store("openssl-3.1"): 60,
	}
	want := Difference{
		Changes: []Change{
			{"gone", []string{"1"}, []string{}, -5},
			{"grown", []string{""}, []string{""}, noise},
			{"linux", []string{"6.6.9"}, []string{"6.6.10"}, 500},
			{"new", []string{}, []string{"2"}, 7},
			{"openssl", []string{"3.0"}, []string{"3.0", "3.1"}, 55},
		},
		Rebuilt: 1, Added: 5, Removed: 5, Bytes: 500 - 5 + 7 + 100 + noise + 55, Transfer: 1500 + 7 + 200 + 100 + noise + 60,
	}
	if diff := cmp.Diff(want, Compare(from, to)); diff != "" {
		t.Error(diff)
	}
	if d := Compare(from, from); len(d.Changes) != 0 || d.Rebuilt+d.Added+d.Removed != 0 || d.Bytes != 0 {
		t.Errorf("nothing has changed: %+v", d)
	}
}

func TestParseClosure(t *testing.T) {
	t.Parallel()
	a, b := store("a"), store("b")
	got, err := parseClosure([]byte(a + "\n" + b + "\nsizes\n12\n34\n"))
	if err != nil || !cmp.Equal(got, Closure{a: 12, b: 34}) {
		t.Errorf("%v, %v", got, err)
	}
	for name, text := range map[string]string{
		"nothing": "", "no sizes": a + "\n", "too few": a + "\nsizes\n", "too many": a + "\nsizes\n1\n2\n", "no number": a + "\nsizes\nx\n", "no path": "/etc\nsizes\n1\n",
	} {
		if _, err := parseClosure([]byte(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzParseClosure(f *testing.F) {
	f.Add(store("a-1.0-bin") + "\nsizes\n12\n")
	f.Add(store("a") + "\n" + store("-") + "\nsizes\n1\n2\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseClosure([]byte(text))
		if err != nil {
			return
		}
		if d := Compare(Closure{}, c); d.Removed != 0 || d.Added != len(c) {
			t.Errorf("%+v", d)
		}
	})
}
