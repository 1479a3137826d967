package cli_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nixos-staged-hive/internal/run"
	standin "nixos-staged-hive/internal/testbed/colmena"
	"nixos-staged-hive/internal/testbed/hosts"
	"nixos-staged-hive/internal/testbed/hosts/system"
	"nixos-staged-hive/internal/testbed/need"
)

// field is a lab with a workspace on its controller, whose definitions say how the hosts of the lab are reached.
type field struct {
	*desk
	lab  *hosts.Lab
	bin  string // a folder with this program
	base string // the system that all hosts run
}

// asking is for a host on which sudo asks for the password.
const asking = `imports = [ ({ lib, ... }: { security.sudo.wheelNeedsPassword = lib.mkForce true; hive.admin.hashedPasswordFile = "/etc/admin-password"; }) ];`

// newField makes a lab whose hosts all run a first system, and generates a hive of them. More is Nix text for a host's definition, by name.
func newField(t *testing.T, more map[string]string, specs ...hosts.Spec) *field {
	t.Helper()
	place := t.TempDir()
	f := &field{bin: filepath.Join(place, "bin")}
	nixpkgs, disko := need.Mini(t)
	f.lab = hosts.Up(t, hosts.Net{Controller: hosts.Trixie, Share: []string{place, nixpkgs, disko}, Hosts: specs})
	files := map[string]string{}
	for _, h := range f.lab.Hosts {
		files["nixConfigs/"+h.Name+".nix"] = host(`
  hive.deployment = { targetHost = "` + h.Addr.String() + `"; targetUser = "` + hosts.Admin + `"; };
` + more[h.Name])
	}
	f.desk = newDeskIn(t, place, nixpkgs, disko, files)
	f.copyProgram()
	f.base = system.Build(t, f.lab.Controller, system.Spec{Name: "base"})
	for _, h := range f.lab.Hosts {
		system.Install(t, f.lab.Controller, h, f.base)
	}
	f.desk.run("generate").exits(0)
	return f
}

// copyProgram puts this program, under its own name, where the controller sees it.
func (f *field) copyProgram() {
	f.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		err = os.MkdirAll(f.bin, 0o755)
	}
	if err != nil {
		f.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(filepath.Join(f.bin, program), text, 0o755)
	}
	if err != nil {
		f.Fatal(err)
	}
}

// colmena puts a stand-in for Colmena on the controller's PATH.
func (f *field) colmena(version string) {
	f.Helper()
	text := "#!/bin/sh\nexec env " + run.Quote(standin.Variable+"="+version, filepath.Join(f.bin, program)) + ` "$@"` + "\n"
	f.lab.Controller.WriteFile(f.TB, "/usr/local/bin/colmena", text, 0o755)
}

// at runs the program on the workspace, on the controller.
func (f *field) at(args ...string) ended {
	f.Helper()
	return f.atWith(nil, nil, args...)
}

// atWith does so with more environment and something to read.
func (f *field) atWith(env []string, in io.Reader, args ...string) ended {
	f.Helper()
	var out, errOut bytes.Buffer
	words := append([]string{"-p", f.dir}, args...)
	err := f.lab.Controller.Run(context.WithoutCancel(f.Context()), run.Command{
		Name: filepath.Join(f.bin, program), Args: words, Env: append([]string{noWait, "NIX_CONFIG=substituters =\nbuild-users-group =\nsandbox = false"}, env...),
		Stdin: in, Stdout: &out, Stderr: &errOut,
	})
	e := ended{TB: f.TB, line: run.Quote(args...), out: out.String(), err: errOut.String()}
	if failed, ok := errors.AsType[*run.Error](err); ok {
		e.code = failed.ExitCode
	} else if err != nil {
		f.Fatalf("%s: %v", e.line, err)
	}
	e.whole()
	return e
}

// built makes a system the one that was built last for a host, as Colmena's --keep-result does.
func (f *field) built(name, path string) {
	f.Helper()
	dir := f.path(".staged-hive/colmena/.gcroots")
	link := filepath.Join(dir, "node-"+name)
	_ = os.Remove(link)
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.Symlink(path, link)); err != nil {
		f.Fatal(err)
	}
}

// system builds a system on the controller and copies it to the named hosts.
func (f *field) system(spec system.Spec, names ...string) string {
	f.Helper()
	path := system.Build(f.TB, f.lab.Controller, spec)
	for _, name := range names {
		system.Copy(f.TB, f.lab.Controller, f.lab.Host(f.TB, name), path)
	}
	return path
}

// declared is the system that the generated tree describes for a host.
func (f *field) declared(name string) string {
	f.Helper()
	out := f.runEnv(nil, "nix-instantiate", "--eval", "--json", "--strict", "-E", "(import "+f.path("generated")+" { }).${\""+name+"\"}.full.outPath").exits(0).out
	return strings.Trim(out, "\"\n")
}
