package colmena

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"nixos-staged-hive/internal/run"
)

// rootsName is the folder beside the hive where `--keep-result` leaves a link node-NAME for each host whose system was built on this
// machine, as soon as it is built.
const rootsName = ".gcroots"

// asPath are the paths that Nix can read as a literal: Colmena (0.4.0, 0.5) imports the hive by one and does not quote it.
var asPath = regexp.MustCompile(`^/[A-Za-z0-9._+/-]+$`)

// CanRead tells whether Colmena can open a hive at this path.
func CanRead(path string) bool { return asPath.MatchString(path) }

// standIn imports the hive that the file beside it names.
const standIn = `# Leads Colmena to a hive that is somewhere else, and keeps what it leaves beside a hive out of there. Written by nixos-staged-hive.
import (/. + (builtins.fromJSON (builtins.readFile ./hive.json)).hive)
`

// StandIn makes a hive in dir that is the one at the absolute path hive, wherever that is, and gives its path. What Colmena leaves beside a
// hive is then in dir. The path of dir has to be one that Colmena can read.
func StandIn(dir, hive string) (path string, err error) {
	if !CanRead(dir) || !filepath.IsAbs(hive) {
		return "", fmt.Errorf("lead colmena to %s: it cannot read a hive in %q", hive, dir)
	}
	var where bytes.Buffer
	e := json.NewEncoder(&where)
	e.SetEscapeHTML(false)
	if err := errors.Join(os.MkdirAll(dir, 0o755), e.Encode(map[string]string{"hive": hive})); err != nil {
		return "", fmt.Errorf("lead colmena to %s: %w", hive, err)
	}
	path = filepath.Join(dir, "hive.nix")
	if err := errors.Join(replace(filepath.Join(dir, "hive.json"), where.Bytes()), replace(path, []byte(standIn))); err != nil {
		return "", fmt.Errorf("lead colmena to %s: %w", hive, err)
	}
	return path, nil
}

// replace writes a file that another Colmena may read at this moment, unless it says the same already.
func replace(path string, text []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, text) {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// Push has Colmena evaluate, build and copy the systems of these hosts, and activates nothing. It returns the store path of each host that has
// its system now; those that failed are in the Outcome as far as Colmena names them, and have no path. Paths are of this run alone, and are
// kept from the garbage collector until the next one. j.Call may have further words, options of `colmena apply`. One run at a time may push
// to a host from beside the same hive.
func (t Tool) Push(ctx context.Context, r run.Runner, j Job, names []string) (map[string]string, Outcome, error) {
	call, err := ForHosts("apply", names, slices.Concat([]string{"push", "--keep-result"}, j.Call.Words)...)
	if err != nil {
		return nil, Outcome{}, err
	}
	j.Call = call
	if err := forget(j.Hive, names); err != nil {
		return nil, Outcome{}, err
	}
	outcome, err := t.Run(ctx, r, j)
	if err != nil {
		return nil, outcome, err
	}
	if outcome.Code != codeDone && outcome.Code != codeSomeFailed {
		return map[string]string{}, outcome, nil
	}
	good := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(outcome.Failed, n) })
	paths, err := kept(j.Hive, good)
	if err != nil || outcome.unnamed > 0 {
		return paths, outcome, err
	}
	built := slices.DeleteFunc(good, func(n string) bool { return paths[n] != "" })
	if len(built) == 0 {
		return paths, outcome, nil
	}
	// Of a host that has built its own system there is no link.
	elsewhere, err := t.evaluatePaths(ctx, r, j, built)
	maps.Copy(paths, elsewhere)
	return paths, outcome, err
}

// ForHosts is a call for exactly these hosts, with further words.
func ForHosts(subcommand string, names []string, words ...string) (Call, error) {
	if len(names) == 0 {
		return Call{}, &UsageError{"no host is named"}
	}
	for _, name := range names {
		if !plainName(name) || strings.ContainsAny(name, ", ") {
			return Call{}, &UsageError{fmt.Sprintf("colmena would take the name of the host %q for a pattern", name)}
		}
	}
	return Parse(subcommand, slices.Concat([]string{"--on", strings.Join(names, ",")}, words))
}

// Root is the link to the system that was built last for a host, beside the hive.
func Root(hive, name string) string {
	return filepath.Join(filepath.Dir(hive), rootsName, "node-"+name)
}

// forget removes what an earlier run has left: a host that fails before it is built would else seem to have been built.
func forget(hive string, names []string) error {
	for _, name := range names {
		if err := os.Remove(Root(hive, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forget what was built before: %w", err)
		}
	}
	return nil
}

// kept reads where the links of these hosts lead.
func kept(hive string, names []string) (map[string]string, error) {
	paths := map[string]string{}
	for _, name := range names {
		path, err := os.Readlink(Root(hive, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return paths, fmt.Errorf("find what was built for %s: %w", name, err)
		}
		paths[name] = path
	}
	return paths, nil
}

// systems is a function of what `colmena eval` gives it. The names are data.
const systems = `{ nodes, ... }:
builtins.listToAttrs (map (name: {
  inherit name;
  value = builtins.unsafeDiscardStringContext nodes.${name}.config.system.build.toplevel.outPath;
}) (builtins.fromJSON (builtins.readFile ./names.json)))
`

// evaluatePaths asks the hive what the systems of hosts are.
func (t Tool) evaluatePaths(ctx context.Context, r run.Runner, j Job, names []string) (map[string]string, error) {
	const doing = "ask what hosts have built: %w"
	dir, err := os.MkdirTemp("", "nixos-staged-hive-colmena-")
	if err != nil {
		return nil, fmt.Errorf(doing, err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // two small files below TMPDIR
	list, err := json.Marshal(names)
	file := filepath.Join(dir, "systems.nix")
	if err := errors.Join(err, os.WriteFile(filepath.Join(dir, "names.json"), list, 0o600), os.WriteFile(file, []byte(systems), 0o600)); err != nil {
		return nil, fmt.Errorf(doing, err)
	}
	command, err := t.command(Job{Call: Call{Subcommand: "eval", Words: []string{file}}, Hive: j.Hive, SSHConfig: j.SSHConfig, Getenv: j.Getenv})
	if err != nil {
		return nil, fmt.Errorf(doing, err)
	}
	command.Stderr = j.Err
	paths, err := run.JSON[map[string]string](ctx, r, command)
	if err != nil {
		return nil, fmt.Errorf(doing, err)
	}
	return paths, nil
}
