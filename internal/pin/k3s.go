package pin

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"

	"golang.org/x/mod/semver"
)

// K3s is a version of K3s: a version of Kubernetes and a number that counts K3s' own releases of it.
type K3s struct {
	Kubernetes string // "v1.27.4", or "v1.27.4-rc1" for a release candidate
	Build      int    // 1 in k3s1
}

var k3sForm = regexp.MustCompile(`^(v(?:0|[1-9]\d{0,8})\.(?:0|[1-9]\d{0,8})\.(?:0|[1-9]\d{0,8})(?:-(?:alpha|beta|rc)\.?(?:0|[1-9]\d{0,8}))?)[+-]k3s([1-9]\d{0,8})(-(?:amd64|arm64|arm|s390x))?$`)

// ParseK3s understands the spelling of K3s' releases (v1.27.4+k3s1) and that of its Docker tags (v1.27.4-k3s1: a tag cannot hold a
// plus). The error is a *SpecError.
func ParseK3s(text string) (K3s, error) {
	m := k3sForm.FindStringSubmatch(text)
	if m == nil || !semver.IsValid(m[1]) {
		return K3s{}, &SpecError{Text: text, Why: "it is not a version of K3s", Way: "write it like v1.30.1+k3s1 or v1.30.1-k3s1"}
	}
	build, err := strconv.Atoi(m[2])
	if err != nil {
		return K3s{}, fmt.Errorf("version %q: %w", text, err)
	}
	v := K3s{Kubernetes: m[1], Build: build}
	if m[3] != "" {
		return K3s{}, &SpecError{Text: text, Why: "it is for one processor architecture only", Way: "write " + v.String()}
	}
	return v, nil
}

// String is the spelling of the release: v1.27.4+k3s1. It is empty for the zero value.
func (v K3s) String() string { return v.spell("+") }

// Docker is the spelling of the container image's tag: v1.27.4-k3s1. It is empty for the zero value.
func (v K3s) Docker() string { return v.spell("-") }

func (v K3s) spell(sep string) string {
	if v == (K3s{}) {
		return ""
	}
	return v.Kubernetes + sep + "k3s" + strconv.Itoa(v.Build)
}

// Compare is negative if v is older than w, zero if they are equal, positive if v is newer. Semantic versioning alone calls
// +k3s1 and +k3s2 equal, because what follows a plus does not count there.
func (v K3s) Compare(w K3s) int {
	return cmp.Or(semver.Compare(v.Kubernetes, w.Kubernetes), cmp.Compare(v.Build, w.Build))
}
