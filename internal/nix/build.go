package nix

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/run"
)

// Build is the building of attributes of a Nix file. They are evaluated together, once, and then built together, so that what
// several of them need is built once.
type Build struct {
	File       string            // absolute path of the Nix file
	Attrs      []string          // attribute paths as `nix-build -A` takes them (see AttrPath), each one derivation; none is the file's own value
	Args       map[string]string // arguments of the file's function, always strings
	SearchPath map[string]string // what <name> means; the ambient NIX_PATH is never used
	// Links has the absolute path of a symlink for each attribute whose output shall be kept: the link is made or replaced, and
	// registered as a root of the garbage collector. Its folder must exist.
	Links     map[string]string
	HeapBytes int64             // initial heap of the evaluator's garbage collector; 0 is 2 GiB, or what the environment says
	KeepGoing bool              // after a failure, go on with what does not need it
	Settings  map[string]string // settings of nix.conf, such as max-jobs or builders
	ShowTrace bool

	// Word lets the evaluation tell secrets: what the file traces with this word before it goes to Told and nowhere else, neither to Log
	// nor into an error. The file gets it as its argument "word". It has to be one that nobody can guess, and made for this build alone.
	Word string
	Told func(text string) // called with what follows the word on a line, while evaluation goes on

	Progress progress.Sink
	Task     string // of the events; empty is "build". Downloads have a task of their own, "download"
	Host     string // of the events
	// Log is called with each line of a builder, whose derivation is the source, and of Nix itself, whose source is empty. It comes
	// without colour codes.
	Log func(source, line string)
}

// Built is one attribute that was built.
type Built struct {
	Attr       string
	Derivation string // store path
	Output     string // store path: of the output "out", or the one that the attribute names
}

// AttrPath joins names to an attribute path. Nix reads a name of digits alone as an index into a list, so that no such attribute can be
// asked for, and has no way to write a quotation mark.
func AttrPath(names ...string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = n
		if n == "" || strings.Contains(n, ".") {
			quoted[i] = `"` + n + `"`
		}
	}
	return strings.Join(quoted, ".")
}

// Build evaluates and builds b, and returns what was built in the order of b.Attrs.
//
// A failed evaluation is an *EvalError. A failed build is a *BuildError; with KeepGoing the attributes that were built nevertheless are
// returned beside it, with their links. The client must run on this machine: it makes symlinks here.
func (c Client) Build(ctx context.Context, b Build) ([]Built, error) {
	log := newBuildLog(b)
	begun := log.last
	begun.State, begun.Text = progress.Started, "evaluating"
	b.Progress.Send(begun)
	built, err := c.build(ctx, b, log)
	state := progress.Done
	if err != nil {
		state = progress.Failed
	}
	log.end(state, err)
	return built, err
}

func (c Client) build(ctx context.Context, b Build, log *buildLog) ([]Built, error) {
	roots, release, err := holdRoots()
	if err != nil {
		return nil, err
	}
	defer release()
	wanted, err := c.instantiate(ctx, b, filepath.Join(roots, "drv"))
	if err != nil {
		return nil, err
	}
	outputs, err := c.realise(ctx, b, log, filepath.Join(roots, "out"), wanted)
	if err != nil {
		return c.buildFailed(ctx, b, log, wanted, err)
	}
	built := make([]Built, len(wanted))
	for i, u := range wanted {
		if built[i], err = c.keep(ctx, b, u, outputs[u.spec]); err != nil {
			return nil, err
		}
	}
	return built, nil
}

// unit is an attribute's derivation as nix-store takes it, with the output after "!".
type unit struct{ attr, spec string }

func (u unit) derivation() string {
	drv, _, _ := strings.Cut(u.spec, "!")
	return drv
}

// instantiate evaluates, and roots the derivations in symlinks that begin with root.
func (c Client) instantiate(ctx context.Context, b Build, root string) ([]unit, error) {
	var said errorLines
	stderr := &lineWriter{line: func(l string) {
		if b.told(l) {
			return
		}
		said.add(l)
		if b.Log != nil {
			b.Log("", l)
		}
	}}
	command := b.instantiation(root)
	command.Stderr = stderr
	out, err := run.Output(ctx, c.Run, command)
	stderr.flush()
	if missing, ok := asMissing(err); ok {
		return nil, missing
	}
	err = b.discreet(err)
	if err != nil && ctx.Err() != nil {
		return nil, err
	}
	if err != nil {
		return nil, parseError(said.text(), err)
	}
	return b.units(root, lines(out))
}

// told passes on a line that begins with the word.
func (b Build) told(line string) bool {
	if b.Word == "" {
		return false
	}
	text, ok := strings.CutPrefix(line, "trace: "+b.Word+" ")
	if ok && b.Told != nil {
		b.Told(text)
	}
	return ok
}

// discreet takes what the evaluation said out of its error, which keeps the last of it as it was printed.
func (b Build) discreet(err error) error {
	failed, ok := errors.AsType[*run.Error](err)
	if b.Word == "" || !ok {
		return err
	}
	quiet := *failed
	quiet.Stderr = nil
	return &quiet
}

func (b Build) instantiation(root string) run.Command {
	args := []string{"--no-gc-warning", "--add-root", root}
	args = append(args, settings(b.Settings)...)
	if b.ShowTrace {
		args = append(args, "--show-trace")
	}
	args = append(args, b.File)
	for _, k := range slices.Sorted(maps.Keys(b.Args)) {
		args = append(args, "--argstr", k, b.Args[k])
	}
	if b.Word != "" {
		args = append(args, "--argstr", "word", b.Word)
	}
	for _, a := range b.Attrs {
		args = append(args, "-A", a)
	}
	env := Evaluation{SearchPath: b.SearchPath, HeapBytes: b.heap()}.environment()
	return run.Command{Name: "nix-instantiate", Args: args, Env: env}
}

// heap is large enough that nothing is collected while a few systems are evaluated: Nix 2.8 crashes in a collection now and then. What is
// not used of it costs address space only.
func (b Build) heap() int64 {
	if b.HeapBytes == 0 && os.Getenv("GC_INITIAL_HEAP_SIZE") == "" {
		return 2 << 30
	}
	return b.HeapBytes
}

func settings(s map[string]string) []string {
	var args []string
	for _, k := range slices.Sorted(maps.Keys(s)) {
		args = append(args, "--option", k, s[k])
	}
	return args
}

func lines(out []byte) []string {
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
}

// units reads the links that nix-instantiate printed, one for each derivation: LINK, or LINK!OUTPUT for another output than "out".
func (b Build) units(root string, links []string) ([]unit, error) {
	attrs := b.Attrs
	if len(attrs) == 0 {
		attrs = []string{""}
	}
	if len(links) != len(attrs) {
		return nil, fmt.Errorf("evaluate %s: %d attributes (%s) are %d derivations: each must be exactly one",
			b.File, len(attrs), strings.Join(attrs, ", "), len(links))
	}
	found := make([]unit, len(links))
	for i, l := range links {
		number, output, named := strings.Cut(strings.TrimPrefix(l, root), "!")
		if !named {
			output = "out"
		}
		drv, err := os.Readlink(root + number)
		if err != nil {
			return nil, fmt.Errorf("evaluate %s: %w", b.File, err)
		}
		found[i] = unit{attr: attrs[i], spec: drv + "!" + output}
	}
	return found, nil
}

// realise builds, and gives the outputs by unit.spec. They are rooted in symlinks that begin with root.
func (c Client) realise(ctx context.Context, b Build, log *buildLog, root string, wanted []unit) (map[string]string, error) {
	var specs []string
	for _, u := range wanted {
		if !slices.Contains(specs, u.spec) {
			specs = append(specs, u.spec)
		}
	}
	// -Q puts the builders' lines into the log; without it they come as messages that do not name their derivation.
	args := []string{"--realise", "-Q", "--log-format", "internal-json", "--add-root", root}
	args = append(args, settings(b.Settings)...)
	if b.KeepGoing {
		args = append(args, "--keep-going")
	}
	stderr := &lineWriter{line: log.line}
	out, err := run.Output(ctx, c.Run, run.Command{Name: "nix-store", Args: append(args, specs...), Stderr: stderr})
	stderr.flush()
	if err != nil {
		return nil, err
	}
	return outputs(specs, lines(out))
}

// outputs reads the links that nix-store printed, one for each spec in their order.
func outputs(specs, links []string) (map[string]string, error) {
	if len(links) != len(specs) {
		return nil, fmt.Errorf("build: nix-store printed %d outputs for %d derivations", len(links), len(specs))
	}
	found := map[string]string{}
	for i, l := range links {
		output, err := os.Readlink(l)
		if err != nil {
			return nil, fmt.Errorf("build: %w", err)
		}
		found[specs[i]] = output
	}
	return found, nil
}

// keep makes the link of u, whose output is in the store.
func (c Client) keep(ctx context.Context, b Build, u unit, output string) (Built, error) {
	built := Built{Attr: u.attr, Derivation: u.derivation(), Output: output}
	link := b.Links[u.attr]
	if link == "" {
		return built, nil
	}
	// Of the output's path, not of the derivation: for that, Nix would put the name of some outputs behind that of the link.
	command := run.Command{Name: "nix-store", Args: []string{"--realise", "--add-root", link, output}}
	if err := c.Run.Run(ctx, command); err != nil {
		return Built{}, fmt.Errorf("link %s to %s: %w", link, Name(output), err)
	}
	return built, nil
}

// present gives the output of u if it is in the store, without building or fetching anything.
func (c Client) present(ctx context.Context, u unit) (output string, ok bool) {
	args := []string{"--realise", "--no-gc-warning", "--max-jobs", "0", "--option", "builders", "", "--option", "substitute", "false", u.spec}
	out, err := run.Output(ctx, c.Run, run.Command{Name: "nix-store", Args: args})
	return strings.TrimSpace(string(out)), err == nil
}

// buildFailed says what failed and for which attributes, and with KeepGoing gathers what was built.
func (c Client) buildFailed(ctx context.Context, b Build, log *buildLog, wanted []unit, err error) ([]Built, error) {
	if missing, ok := asMissing(err); ok {
		return nil, missing
	}
	if ctx.Err() != nil { // what it said last is of no use, and in Nix' log format
		return nil, fmt.Errorf("build: %w", context.Cause(ctx))
	}
	failed := &BuildError{Failures: log.failures, Text: log.messages.text(), Err: err}
	for i := range failed.Failures {
		f := &failed.Failures[i]
		f.Log = log.tails[f.Derivation]
	}
	var built []Built
	for _, u := range wanted {
		one, ok, err := c.salvage(ctx, b, u)
		if ok {
			built = append(built, one)
			continue
		}
		if b.KeepGoing {
			failed.Missing = append(failed.Missing, u.attr)
		}
		if err := errors.Join(err, c.blame(ctx, failed, u)); err != nil {
			return built, errors.Join(failed, err)
		}
	}
	return built, failed
}

// salvage keeps what was built although something else failed.
func (c Client) salvage(ctx context.Context, b Build, u unit) (built Built, ok bool, err error) {
	if !b.KeepGoing {
		return Built{}, false, nil
	}
	output, ok := c.present(ctx, u)
	if !ok {
		return Built{}, false, nil
	}
	built, err = c.keep(ctx, b, u, output)
	return built, err == nil, err
}

// blame notes u's attribute at each failed derivation that it needs.
func (c Client) blame(ctx context.Context, failed *BuildError, u unit) error {
	if len(failed.Failures) == 0 {
		return nil
	}
	paths, err := c.query(ctx, "--requisites", []string{u.derivation()})
	if err != nil {
		return err
	}
	needed := map[string]bool{}
	for _, path := range paths {
		needed[path] = true
	}
	for i := range failed.Failures {
		if f := &failed.Failures[i]; needed[f.Derivation] {
			f.Attrs = append(f.Attrs, u.attr)
		}
	}
	return nil
}
