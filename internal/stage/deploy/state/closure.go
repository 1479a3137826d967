package state

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"nixos-staged-hive/internal/run"
)

// Closure is a store path with all that it needs: sizes in bytes as NAR, by path.
type Closure map[string]int64

// ErrNotThere is a path that none of the asked stores has.
var ErrNotThere = errors.New("not in the store")

// listClosure tells a path that is not valid from other troubles by its exit code.
const listClosure = `PATH=$PATH:/run/current-system/sw/bin
nix-store --check-validity "$1" 2>/dev/null || exit 9
paths=$(nix-store --query --requisites "$1") && printf '%s\n' "$paths" &&
printf 'sizes\n' && printf '%s\n' "$paths" | xargs nix-store --query --size`

// ReadClosure asks a store for the closure of a path, with nix-store (2.8 and later). It needs no rights.
func ReadClosure(ctx context.Context, store run.Runner, root string) (Closure, error) {
	out, err := run.Output(ctx, store, run.Command{Name: "sh", Args: []string{"-c", listClosure, "sh", root}})
	if failed, ok := errors.AsType[*run.Error](err); ok && failed.ExitCode == 9 {
		return nil, fmt.Errorf("%s: %w", root, ErrNotThere)
	}
	if err != nil {
		return nil, fmt.Errorf("list what %s needs: %w", root, err)
	}
	c, err := parseClosure(out)
	if err != nil {
		return nil, fmt.Errorf("list what %s needs: %w", root, err)
	}
	return c, nil
}

// parseClosure reads a list of paths, the line "sizes", and as many sizes.
func parseClosure(out []byte) (Closure, error) {
	var paths []string
	c := Closure{}
	sizes := -1
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		line := lines.Text()
		switch {
		case sizes >= 0:
			n, err := strconv.ParseInt(line, 10, 64)
			if err != nil || n < 0 || sizes >= len(paths) {
				return nil, fmt.Errorf("%q is not the size of a path", line)
			}
			c[paths[sizes]] = n
			sizes++
		case line == "sizes":
			sizes = 0
		case !storePath.MatchString(line):
			return nil, fmt.Errorf("%q is not a store path", line)
		default:
			paths = append(paths, line)
		}
	}
	if err := lines.Err(); err != nil || sizes != len(paths) {
		return nil, errors.Join(errCut, err)
	}
	return c, nil
}

// Difference is what makes one closure another one.
type Difference struct {
	From    string   `json:"from"`
	To      string   `json:"to"`
	Changes []Change `json:"changes"` // by name
	// Rebuilt is how many packages of unchanged names and versions have other paths and about the same size; they are no Changes.
	Rebuilt  int   `json:"rebuilt"`
	Added    int   `json:"added"`    // store paths
	Removed  int   `json:"removed"`  // store paths
	Bytes    int64 `json:"bytes"`    // the closure grows by this
	Transfer int64 `json:"transfer"` // size of the added paths: what a host has to get at most, uncompressed
}

// Change is a package that is added, removed, there in other versions, or of another size.
type Change struct {
	Name  string   `json:"name"`
	From  []string `json:"from"` // versions, "" for a package without one; none: added
	To    []string `json:"to"`   // none: removed
	Bytes int64    `json:"bytes"`
}

// Diff compares the closures of two store paths. Each is looked up in the stores in turn: this machine's first, then the host's.
func Diff(ctx context.Context, from, to string, stores ...run.Runner) (Difference, error) {
	if from == to {
		return Difference{From: from, To: to, Changes: []Change{}}, nil
	}
	old, err := find(ctx, from, stores)
	if err != nil {
		return Difference{}, err
	}
	next, err := find(ctx, to, stores)
	if err != nil {
		return Difference{}, err
	}
	d := Compare(old, next)
	d.From, d.To = from, to
	return d, nil
}

func find(ctx context.Context, root string, stores []run.Runner) (Closure, error) {
	err := fmt.Errorf("%s: %w", root, ErrNotThere)
	for _, store := range stores {
		var c Closure
		if c, err = ReadClosure(ctx, store, root); err == nil || !errors.Is(err, ErrNotThere) {
			return c, err
		}
	}
	return nil, err
}

// noise is by how much a package of the same version may grow without being told, in bytes.
const noise = 8 << 10

// Compare tells two closures apart, package by package. Paths that both have make no difference.
func Compare(from, to Closure) Difference {
	d := Difference{Changes: []Change{}}
	old, next := byPackage(from), byPackage(to)
	for p, size := range from {
		d.Bytes -= size
		if _, kept := to[p]; !kept {
			d.Removed++
		}
	}
	for p, size := range to {
		d.Bytes += size
		if _, had := from[p]; !had {
			d.Added++
			d.Transfer += size
		}
	}
	for _, name := range names(old, next) {
		c := change(name, old[name], next[name])
		switch {
		case !slices.Equal(c.From, c.To) || c.Bytes >= noise || c.Bytes <= -noise:
			d.Changes = append(d.Changes, c)
		case !slices.Equal(old[name].paths, next[name].paths):
			d.Rebuilt++
		}
	}
	return d
}

// parcel is all paths of one name.
type parcel struct {
	versions, paths []string // sorted
	bytes           int64
}

func byPackage(c Closure) map[string]parcel {
	all := map[string]parcel{}
	for p, size := range c {
		name, version := packageOf(p)
		have := all[name]
		have.bytes += size
		have.paths = append(have.paths, p)
		if !slices.Contains(have.versions, version) {
			have.versions = append(have.versions, version)
		}
		all[name] = have
	}
	for _, have := range all {
		slices.Sort(have.paths)
		slices.SortFunc(have.versions, func(x, y string) int { return cmp.Or(compareVersions(x, y), cmp.Compare(x, y)) })
	}
	return all
}

func names(maps ...map[string]parcel) []string {
	var all []string
	for _, m := range maps {
		for name := range m {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func change(name string, old, next parcel) Change {
	c := Change{Name: name, From: old.versions, To: next.versions, Bytes: next.bytes - old.bytes}
	if c.From == nil {
		c.From = []string{}
	}
	if c.To == nil {
		c.To = []string{}
	}
	return c
}

// outputs are the names of outputs as nixpkgs has them. "out" is never written.
func outputs() []string {
	return []string{"bin", "dev", "lib", "lib32", "lib64", "man", "doc", "info", "data", "debug", "devdoc", "static", "getent", "terminfo", "dist", "py", "tex"}
}

// packageOf splits the name of a store path into package and version where Nix does (builtins.parseDrvName): at the first hyphen
// that no letter follows. The output belongs to neither.
func packageOf(storePath string) (name, version string) {
	name = path.Base(storePath)
	if _, rest, found := strings.Cut(name, "-"); found {
		name = rest
	}
	for i := 0; i+1 < len(name); i++ {
		if name[i] == '-' && !letter(name[i+1]) {
			return name[:i], withoutOutput(name[i+1:])
		}
	}
	return withoutOutput(name), ""
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

func withoutOutput(s string) string {
	if i := strings.LastIndexByte(s, '-'); i > 0 && slices.Contains(outputs(), s[i+1:]) {
		return s[:i]
	}
	return s
}
