package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"nixos-staged-hive/internal/colmena"
	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/nix"
	"nixos-staged-hive/internal/remote"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/stage/workspace"
)

// engine is Colmena, at work on the generated hive of a workspace: with the ssh_config of an access, the pinned nixpkgs, and somebody who
// answers sudo on the hosts. It is a deploy.Engine.
type engine struct {
	tool   colmena.Tool
	run    run.Runner
	hive   string // the hive that Colmena gets
	nodes  []colmena.Node
	access *remote.Access
	butler *remote.Butler
	words  []string // of the user, for `colmena apply`
}

// engine makes Colmena ready. sudo answers for hosts; see house.sudo. Close it.
func (h *house) engine(ctx context.Context, w *workspace.Workspace, hosts hive.Hive, access *remote.Access, sudo func(string) remote.Sudo) (*engine, error) {
	pins, err := workspace.Pinner{Workspace: w, Run: h.run}.Pins(ctx, w.Names()...)
	if err != nil {
		return nil, err
	}
	tool, err := h.findColmena(ctx, w, pins.NixOS.StorePath)
	if err != nil {
		return nil, err
	}
	file, err := hiveFor(w, access)
	if err != nil {
		return nil, err
	}
	butler, err := access.Butler(ctx, h.exe, sudo)
	if err != nil {
		return nil, err
	}
	local := withEnv{h.run, evaluatorEnv(pins.NixOS.StorePath)}
	return &engine{
		tool: tool, run: butler.Runner(local, os.Getenv("PATH")), hive: file, nodes: colmena.Nodes(hosts), access: access, butler: butler,
	}, nil
}

// Close ends what answers sudo.
func (e *engine) Close() error { return e.butler.Close() }

// engineFolder is where in a workspace's state Colmena finds the hive and leaves its links to what was built.
const engineFolder = "colmena"

// hiveFor is the path of the hive for Colmena: not the generated one itself, so that nothing is left in the generated tree.
func hiveFor(w *workspace.Workspace, access *remote.Access) (string, error) {
	dir := w.File(workspace.StateName, engineFolder)
	generated := w.File(workspace.GeneratedName, "hive.nix")
	if colmena.CanRead(dir) {
		if path, err := colmena.StandIn(dir, generated); err == nil {
			return path, nil
		}
	}
	// A workspace below a folder with a blank in its name, or one that is somebody else's: links are not kept.
	return colmena.StandIn(filepath.Join(filepath.Dir(access.ConfigFile()), engineFolder), generated)
}

// builtSystem is the system that Colmena built last for a host of the workspace; empty where there is none.
func builtSystem(w *workspace.Workspace, name string) string {
	path, err := os.Readlink(colmena.Root(w.File(workspace.StateName, engineFolder, "hive.nix"), name))
	if err != nil {
		return ""
	}
	return path
}

// job is one run of Colmena.
func (e *engine) job(call colmena.Call) colmena.Job {
	return colmena.Job{Call: call, Hive: e.hive, Nodes: e.nodes, SSHConfig: e.access.ConfigFile(), Getenv: os.Getenv}
}

// Push evaluates, builds and copies the systems of the named hosts.
func (e *engine) Push(ctx context.Context, names []string, out io.Writer) (paths, failed map[string]string, err error) {
	job := e.job(colmena.Call{Words: e.words})
	job.Err = out
	paths, o, err := e.tool.Push(ctx, e.run, job, names)
	if err != nil {
		return nil, nil, err
	}
	failed, err = failures(ctx, o)
	return paths, failed, err
}

// UploadKeys uploads all keys of deployment.keys of the named hosts.
func (e *engine) UploadKeys(ctx context.Context, names []string, out io.Writer) (failed map[string]string, err error) {
	call, err := colmena.ForHosts("upload-keys", names)
	if err != nil {
		return nil, err
	}
	job := e.job(call)
	job.Err = out
	o, err := e.tool.Run(ctx, e.run, job)
	if err != nil {
		return nil, err
	}
	return failures(ctx, o)
}

// failures are the hosts that failed, and why as far as Colmena says it in one word; or an error where it names none.
func failures(ctx context.Context, o colmena.Outcome) (map[string]string, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if o.Code != codeDone && len(o.Failed) == 0 {
		if o.Problem == "" {
			o.Problem = "it did not work; what it says is above"
		}
		return nil, &refusal{fmt.Errorf("colmena: %s", o.Problem), "", o.Code}
	}
	failed := map[string]string{}
	for _, name := range o.Failed {
		failed[name] = "colmena: " + o.Step(name)
	}
	return failed, nil
}

// passed hands words of the user over to Colmena.
func (e *engine) passed(ctx context.Context, h *house, call colmena.Call) (colmena.Outcome, error) {
	job := e.job(call.Everywhere(e.nodes))
	h.streams(&job)
	return e.tool.Run(ctx, e.run, job)
}

// streams gives a job the streams of this program.
func (h *house) streams(job *colmena.Job) {
	job.Out, job.Err = h.ui.Out, h.ui.Err
	job.Terminal = h.ui.OutTerminal && h.ui.ErrTerminal
	job.Color = h.ui.Colour && h.ui.ErrTerminal
	job.Getenv = os.Getenv
}

// programsFolder holds, in a workspace's state, links to programs that were built for it.
const programsFolder = "programs"

// findColmena is the one on PATH, else that of the pinned nixpkgs, a store path, which is built once.
func (h *house) findColmena(ctx context.Context, w *workspace.Workspace, nixpkgs string) (colmena.Tool, error) {
	tool, err := colmena.Find(ctx, h.run, "")
	missing, ok := errors.AsType[*run.MissingError](err)
	if !ok {
		return tool, err
	}
	link := w.File(workspace.StateName, programsFolder, "colmena-"+filepath.Base(nixpkgs))
	if _, err := os.Stat(filepath.Join(link, "bin", colmena.Program)); err != nil {
		if err := h.buildColmena(ctx, nixpkgs, link); err != nil {
			return colmena.Tool{}, &refusal{fmt.Errorf("%w, and the pinned nixpkgs gives none: %w", missing, err), missing.Hint, codeMissing}
		}
	}
	return colmena.Find(ctx, h.run, filepath.Join(link, "bin", colmena.Program))
}

func (h *house) buildColmena(ctx context.Context, nixpkgs, link string) error {
	h.ui.Note("colmena is not on PATH: it is built or fetched from the pinned nixpkgs")
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		return err
	}
	sink, end := h.progress()
	defer end()
	_, err := nix.Client{Run: h.run}.Build(ctx, nix.Build{
		File: filepath.Join(nixpkgs, "default.nix"), Attrs: []string{colmena.Program}, Links: map[string]string{colmena.Program: link},
		Progress: sink, Task: "build colmena",
	})
	return err
}

// asksForPassword tells whether Colmena will most likely want a password for what it is asked to do, by the facts of the hosts. A person
// is better asked before Colmena draws on the terminal.
func asksForPassword(call colmena.Call, hosts hive.Hive) bool {
	names := call.Hosts(colmena.Nodes(hosts))
	return slices.ContainsFunc(hosts.Hosts, func(host hive.Host) bool {
		return host.Deployer.Sudo == remote.SudoPassword && slices.Contains(names, host.Name) && (call.BecomesRoot() || !host.Deployer.Trusted)
	})
}
