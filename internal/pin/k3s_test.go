package pin

import (
	"errors"
	"strings"
	"testing"
)

func TestK3sVersionsOfBothSpellingsAreTheSame(t *testing.T) {
	for text, want := range map[string]K3s{
		"v1.27.4-k3s1":      {"v1.27.4", 1},
		"v1.27.4+k3s1":      {"v1.27.4", 1},
		"v1.30.1+k3s12":     {"v1.30.1", 12},
		"v1.30.1-rc1-k3s1":  {"v1.30.1-rc1", 1},
		"v1.30.1-rc1+k3s2":  {"v1.30.1-rc1", 2},
		"v1.19.1-rc.1+k3s1": {"v1.19.1-rc.1", 1},
	} {
		got, err := ParseK3s(text)
		if err != nil || got != want {
			t.Errorf("ParseK3s(%q) = %+v, %v; want %+v", text, got, err, want)
		}
		if strings.Contains(got.Docker(), "+") || strings.Replace(got.String(), "+", "-", 1) != got.Docker() {
			t.Errorf("%q: spellings %q and %q do not belong together", text, got.String(), got.Docker())
		}
	}
}

func TestParseK3sRefusesWhatIsNoVersion(t *testing.T) {
	for _, text := range []string{"", "latest", "1.27.4+k3s1", "v1.27.4", "v1.27+k3s1", "v1.27.4+k3s", "v1.27.4+k3s0", "v1.27.4+k3s01", "v01.2.3+k3s1", "v1.27.4_k3s1", "v1.27.4+k3s1\n"} {
		if v, err := ParseK3s(text); err == nil {
			t.Errorf("ParseK3s(%q) = %+v, want an error", text, v)
		}
	}
}

func TestATagForOneArchitectureIsRefusedWithTheTagForAll(t *testing.T) {
	_, err := ParseK3s("v1.27.4-k3s1-arm64")
	if e, ok := errors.AsType[*SpecError](err); !ok || !strings.Contains(e.Hint(), "v1.27.4+k3s1") {
		t.Errorf("got %v", err)
	}
}

func TestK3sVersionsCompareByKubernetesThenBuild(t *testing.T) {
	order := []string{"v1.9.9+k3s1", "v1.27.4-rc1+k3s1", "v1.27.4+k3s1", "v1.27.4-k3s2", "v1.27.4+k3s10", "v1.27.10+k3s1", "v1.30.0+k3s1"}
	for i, a := range order {
		for j, b := range order {
			va, errA := ParseK3s(a)
			vb, errB := ParseK3s(b)
			if errA != nil || errB != nil {
				t.Fatal(errA, errB)
			}
			if got := va.Compare(vb); sign(got) != sign(i-j) {
				t.Errorf("%s against %s: %d", a, b, got)
			}
		}
	}
}

func sign(n int) int { return max(-1, min(1, n)) }

func FuzzParseK3s(f *testing.F) {
	for _, s := range []string{"v1.27.4-k3s1", "v1.27.4+k3s1", "v1.30.1-rc1-k3s1", "v1.27.4-k3s1-amd64"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := ParseK3s(text)
		if err != nil {
			return
		}
		for _, again := range []string{v.String(), v.Docker()} {
			if w, err := ParseK3s(again); err != nil || w != v {
				t.Errorf("%q -> %+v -> %q -> %+v, %v", text, v, again, w, err)
			}
		}
	})
}
