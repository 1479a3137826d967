package colmena

import (
	"fmt"
	"strings"
)

// Exit codes of our program, as its help texts list them.
const (
	codeDone        = 0
	codeFailed      = 1
	codeUsage       = 2
	codeSomeFailed  = 3
	codeRefused     = 4
	codeInterrupted = 130
)

// Exit codes of Colmena that are not those of ours.
const (
	exitNotNixOS = 5   // apply-local on another distribution
	exitPanic    = 101 // a Rust panic
)

// Outcome is how a run of Colmena ended, in the terms of our program.
type Outcome struct {
	Code    int      // exit code of our program
	Failed  []string // hosts that failed, sorted, as far as Colmena names them; nil for a run that went to the terminal directly
	Problem string   // what went wrong in one sentence; empty if nothing did or Colmena has said it itself

	steps   map[string]string // of the hosts that failed
	unnamed int               // hosts that failed and that Colmena only counts
}

// Step is where a host has failed: "build failed". It is empty for one that has not.
func (o Outcome) Step(host string) string {
	if step := o.steps[host]; step != "" {
		return step + " failed"
	}
	return ""
}

// ending is how the program ended, before anybody judges it.
type ending struct {
	exit        int // -1: not by itself
	interrupted bool
}

// judge turns an exit code that lies or says little into one that does not. worked is the number of hosts the run was for, -1 if that
// is not known beforehand.
func judge(c Call, e ending, r report, worked int) Outcome {
	if worked < 0 {
		worked = r.selected
	}
	names, unnamed := r.failed()
	switch {
	case e.interrupted:
		return Outcome{Code: codeInterrupted, Failed: names, Problem: "interrupted"}
	case e.exit < 0:
		return Outcome{Code: codeFailed, Failed: names, Problem: "colmena was ended by a signal"}
	case e.exit == exitPanic:
		return Outcome{Code: codeFailed, Failed: names, Problem: explainPanic(c, r)}
	case c.Help:
		return Outcome{Code: e.exit}
	case len(names) > 0:
		return hostsFailed(r, names, unnamed, worked)
	case r.needsOn:
		return Outcome{Code: codeRefused, Problem: "the hive does not allow to deploy to all hosts at once by accident (meta.allowApplyAll = false): " +
			"name the hosts with --on, all of them with --on '*'"}
	case e.exit == 0 && r.nothing:
		return Outcome{Code: codeUsage, Problem: "colmena selected no host"}
	case c.Subcommand == "apply-local":
		return judgeLocal(e.exit, r)
	}
	return Outcome{Code: ours(e.exit), Problem: explain(r)}
}

// ours maps what is left: clap's own code for a wrong command line is ours too.
func ours(exit int) int {
	switch exit {
	case codeDone, codeUsage, codeInterrupted:
		return exit
	}
	return codeFailed
}

func judgeLocal(exit int, r report) Outcome {
	o := Outcome{Code: ours(exit), Problem: explain(r)}
	switch {
	case exit == exitNotNixOS:
		o.Problem = "this machine does not run NixOS, so it cannot be deployed locally"
	case exit == codeUsage && r.offHive != "":
		o.Problem = r.offHive
	}
	return o
}

// explain adds what Colmena leaves unsaid. Most failures it explains itself, right above.
func explain(r report) string {
	if strings.HasPrefix(r.reason, "Nix returned invalid response") {
		return "colmena cannot read what the hive evaluates to: see deployment.targetPort (at most 65535) and deployment.keys (each needs " +
			"exactly one of text, keyFile and keyCommand); the text above may contain secrets"
	}
	if r.reason == "Validation error" {
		return "colmena refuses a key of deployment.keys: its name must not contain a slash, and colmena before 0.5.0 wants " +
			"user and group to be lower-case letters, digits and hyphens"
	}
	return ""
}

func hostsFailed(r report, names []string, unnamed, worked int) Outcome {
	o := Outcome{Code: codeFailed, Failed: names, unnamed: unnamed}
	count := len(names) + unnamed
	o.steps = map[string]string{}
	var which []string
	together := false
	for _, f := range r.failures {
		which = append(which, f.String())
		for _, name := range f.hosts {
			o.steps[name] = f.step
		}
		together = together || f.step == "evaluate" && len(f.hosts)+f.more > 1
	}
	of := ""
	if worked >= count {
		of = fmt.Sprintf(" of %d", worked)
	}
	if worked > count {
		o.Code = codeSomeFailed
	}
	o.Problem = fmt.Sprintf("%d%s %s failed: %s", count, of, plural(max(count, worked), "host", "hosts"), strings.Join(which, "; "))
	if together {
		o.Problem += " (these were evaluated together: --eval-node-limit 1 tells which of them is broken and goes on with the others)"
	}
	return o
}

// String names the step and the hosts.
func (f failure) String() string {
	hosts := strings.Join(f.hosts, ", ")
	if f.more > 0 {
		hosts += fmt.Sprintf(" and %d more", f.more)
	}
	return f.step + " " + hosts
}

func plural(n int, singular, plural string) string {
	if n == 1 {
		return singular
	}
	return plural
}

func explainPanic(c Call, r report) string {
	switch {
	case c.NodeLimit == "0":
		return "colmena 0.4 breaks down on --eval-node-limit 0: leave it out, or give a number of hosts as high as you like"
	case c.Subcommand == "eval" && strings.Contains(r.panicked, "absolute path to expression file"):
		return "the file with the expression does not exist"
	case r.panicked != "":
		return "colmena broke down with an internal error: " + r.panicked
	}
	return "colmena broke down with an internal error"
}
