package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"nixos-staged-hive/internal/pin"
)

// Versions init writes and a workspace without (or with an incomplete) versions.json has. Disko v1.8.2 is the last release that
// works with NixOS 24.05; change the two together.
const (
	DefaultNixOS = "nixos-24.05"
	DefaultDisko = "v1.8.2"
	DefaultK3s   = "v1.30.1+k3s1"
)

// Versions is versions.json.
type Versions struct {
	NixOS   pin.Spec
	Disko   pin.Spec
	K3s     pin.K3s
	K3sText string                  // as written
	Hosts   map[string]HostVersions // by name of the definition
	Without []string                // parts of our modules that all hosts do without
}

// HostVersions is what versions.json says about one host.
type HostVersions struct {
	NixOS   *pin.Spec // nil: the same as the others
	Without []string
}

// WithoutFor are the parts of our modules that a host does without: its own and those of all hosts.
func (v Versions) WithoutFor(host string) []string {
	return append(append([]string{}, v.Without...), v.Hosts[host].Without...)
}

// defaultVersions can only fail if a constant above is wrong, which a test would say first.
func defaultVersions() (Versions, error) {
	nixos, errN := pin.ParseSpec(DefaultNixOS)
	disko, errD := pin.ParseSpec(DefaultDisko)
	k3s, errK := pin.ParseK3s(DefaultK3s)
	return Versions{NixOS: nixos, Disko: disko, K3s: k3s, K3sText: DefaultK3s}, errors.Join(errN, errD, errK)
}

func readVersions(dir string) (Versions, error) {
	text, err := os.ReadFile(filepath.Join(dir, VersionsName))
	if errors.Is(err, fs.ErrNotExist) {
		return defaultVersions()
	}
	if err != nil {
		return Versions{}, fmt.Errorf("read %s: %w", VersionsName, err)
	}
	return parseVersions(text)
}

// parseVersions reads versions.json. Keys that are not there have their default. The error joins all problems, each an *Error with
// line and column.
func parseVersions(text []byte) (Versions, error) {
	v, err := defaultVersions()
	if err != nil {
		return v, err
	}
	r, err := newReader(VersionsName, text)
	if err != nil {
		return Versions{}, err
	}
	r.object("the whole file", map[string]field{
		"nixos": func(name string) { r.spec(name, &v.NixOS) },
		"disko": func(name string) { r.spec(name, &v.Disko) },
		"k3s":   func(name string) { r.k3s(name, &v) },
		"without": func(name string) {
			v.Without = r.texts(name)
		},
		"hosts": func(name string) { v.Hosts = r.hosts(name) },
	})
	if err := errors.Join(r.problems...); err != nil {
		return Versions{}, err
	}
	return v, nil
}

func (r *reader) spec(name string, to *pin.Spec) {
	text, at, ok := r.text(name)
	if !ok {
		return
	}
	spec, err := pin.ParseSpec(text)
	if err != nil {
		r.refuse(at, name, err)
		return
	}
	*to = spec
}

func (r *reader) k3s(name string, to *Versions) {
	text, at, ok := r.text(name)
	if !ok {
		return
	}
	v, err := pin.ParseK3s(text)
	if err != nil {
		r.refuse(at, name, err)
		return
	}
	to.K3s, to.K3sText = v, text
}

func (r *reader) hosts(name string) map[string]HostVersions {
	hosts := make(map[string]HostVersions)
	r.members(name, func(host string, _ int64) {
		var h HostVersions
		where := name + "." + host
		r.object(where, map[string]field{
			"nixos": func(name string) {
				var spec pin.Spec
				r.spec(where+"."+name, &spec)
				h.NixOS = &spec
			},
			"without": func(name string) { h.Without = r.texts(where + "." + name) },
		})
		hosts[host] = h
	})
	return hosts
}

// refuse notes a value that the pin package does not understand, with its hint.
func (r *reader) refuse(at int64, name string, err error) {
	way := ""
	if spec, ok := errors.AsType[*pin.SpecError](err); ok {
		way = spec.Hint()
	}
	r.problems = append(r.problems, &Error{What: fmt.Sprintf("%s: %s", r.place(at), name), Way: way, Err: err})
}
