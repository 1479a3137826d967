// Package colmena is a stand-in for Colmena on machines that do not have it. It parses the command line as strictly as the real
// programs, evaluates a hive.nix with real nix through contract.nix, which demands what Colmena demands, builds, and pushes and
// activates through whatever ssh and nix-copy-closure are on PATH, with Colmena's words on stderr and its exit codes, the strange ones
// too. It stands for 0.4.0 or 0.5.0-pre and was written against their behaviour, not from their source. Not there: flakes, repl,
// the streaming evaluator, --reboot, uploading keys (hosts without keys are fine), spinners, parallel work.
//
// Tests of the program run against it everywhere, and the same tests against each real binary that STAGED_HIVE_COLMENA names
// (see Each). A test binary becomes the stand-in when the environment variable named by Variable is set, or through testscript:
//
//	testscript.Main(m, map[string]func(){"colmena": standin.Main})
package colmena

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
)

// Variable chooses the version that the stand-in stands for, "0.4.0" or "0.5.0-pre". Set for a test binary whose TestMain calls
// MainIfAsked, it turns that into the stand-in.
const Variable = "STAGED_HIVE_STAND_IN_COLMENA"

//go:embed contract.nix
var contract string

// Versions lists what the stand-in can stand for.
func Versions() []string { return []string{"0.4.0", "0.5.0-pre"} }

// Main is the whole program, for testscript.Main. Without Variable it is 0.4.0.
func Main() {
	version := os.Getenv(Variable)
	if version == "" {
		version = Versions()[0]
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(Run(ctx, version, os.Args[1:], os.Stdout, os.Stderr))
}

// MainIfAsked is for TestMain: it does not return if Variable is set. What the stand-in runs inherits that; a test binary that is called as
// ssh is meant as something else.
func MainIfAsked() {
	if os.Getenv(Variable) != "" && filepath.Base(os.Args[0]) != "ssh" {
		Main()
	}
}

// program is one run.
type program struct {
	version     string
	out, errOut io.Writer
	words       arguments
	temp        string   // holds contract.nix
	failed      int      // hosts or chunks
	summary     []string // what the end of the run says about failures
}

// old tells that the stand-in is of family 0.4.
func (p *program) old() bool { return p.version == "0.4.0" }

func (p *program) family() string { return p.version[:3] }

// Run is the program with its streams; the result is its exit code.
func Run(ctx context.Context, version string, args []string, out, errOut io.Writer) int {
	p := &program{version: version, out: out, errOut: errOut}
	words, err := parse(version, args)
	if err != nil {
		fmt.Fprintf(errOut, "error: %v\n\nFor more information, try '--help'.\n", err)
		return 2
	}
	p.words = words
	switch {
	case words.printVersion:
		fmt.Fprintln(out, "Colmena "+version)
		return 0
	case words.help:
		p.printHelp()
		return 0
	}
	return p.dispatch(ctx)
}

func (p *program) dispatch(ctx context.Context) int {
	temp, err := os.MkdirTemp("", "stand-in-colmena-")
	if err != nil {
		return p.fail(err)
	}
	defer func() { _ = os.RemoveAll(temp) }() // what stays is a small file below TMPDIR
	p.temp = temp
	if code := p.openHive(); code != 0 {
		return code
	}
	switch p.words.subcommand {
	case "nix-info":
		p.log("INFO", "Nix Version: not asked for")
		return 0
	case "eval", "introspect":
		return p.eval(ctx)
	case "apply-local":
		return p.applyLocal()
	case "build", "apply", "upload-keys", "exec":
		return p.onHosts(ctx)
	}
	return p.fail(fmt.Errorf("the stand-in has no %s", p.words.subcommand))
}

// openHive stops where Colmena stops without a hive. nix-info of 0.4 does not look for one.
func (p *program) openHive() int {
	if p.old() && p.words.subcommand == "nix-info" {
		return 0
	}
	path, err := p.words.hive()
	if err != nil && p.words.config == "" {
		p.log("ERROR", "Could not find `hive.nix` or `flake.nix` in the current directory or any parent directory")
		return p.panic("called `Option::unwrap()` on a `None` value")
	}
	if err != nil && p.old() {
		return p.fail(err)
	}
	if err != nil {
		fmt.Fprintf(p.errOut, "error: invalid value '%s' for '--config <CONFIG>': %v\n", p.words.config, err)
		return 2
	}
	p.words.config = path
	p.log("INFO", "Using configuration: "+path)
	return 0
}

// log writes a line of the log in the layout of the version.
func (p *program) log(level, text string) {
	if p.old() {
		fmt.Fprintf(p.errOut, "[%-5s] %s\n", level, text)
		return
	}
	fmt.Fprintf(p.errOut, "%5s %s\n", level, text)
}

// fail is the end of a run that went wrong.
func (p *program) fail(err error) int {
	p.log("ERROR", "-----")
	p.log("ERROR", fmt.Sprintf("Operation failed with error: %v", err))
	return 1
}

// panic ends like a Rust program that broke down.
func (p *program) panic(message string) int {
	fmt.Fprintf(p.errOut, "\nthread 'main' (1) panicked at src/stand_in.rs:1:1:\n%s\n", message)
	return 101
}

// printHelp says no more than what others look for in it.
func (p *program) printHelp() {
	if p.words.subcommand == "" {
		fmt.Fprintln(p.out, "Usage: colmena [OPTIONS] [COMMAND]")
		return
	}
	fmt.Fprintf(p.out, "Usage: colmena %s [OPTIONS]\n", p.words.subcommand)
	if p.words.subcommand != "apply" {
		return
	}
	if p.old() {
		fmt.Fprintln(p.out, "  [goal]  [possible values: build, push, switch, boot, test, dry-activate, keys]")
	} else {
		fmt.Fprintln(p.out, "  [GOAL]\n          - switch:       Make the configuration the boot default and activate now\n          - upload-keys:  Only upload keys")
	}
	fmt.Fprintln(p.out, "  To upload keys without deploying, use `colmena upload-keys`.")
}
