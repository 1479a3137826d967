package colmena

import (
	"slices"
	"strings"
)

// Subcommand is a word of ours and what it means to Colmena.
type Subcommand struct {
	Name    string // what the user types
	Colmena string // what Colmena gets
	Short   string // one line of help
}

// Subcommands lists what is handed to Colmena, in the order a help text should show it.
func Subcommands() []Subcommand {
	return []Subcommand{
		{"build", "build", "build the full systems here, change nothing on the hosts"},
		{"deploy-local", "apply-local", "build and activate this machine's own system"},
		{"apply", "apply", "build, push and activate by Colmena alone, without the guard of deploy"},
		{"apply-local", "apply-local", "the same as deploy-local, by Colmena's name"},
		{"upload-keys", "upload-keys", "upload the secrets of deployment.keys"},
		{"exec", "exec", "run a command on the hosts"},
		{"eval", "eval", "evaluate a Nix expression with the hive's nodes"},
		{"repl", "repl", "explore the hive in an interactive Nix session"},
		{"nix-info", "nix-info", "show what Colmena finds of Nix"},
	}
}

// UsageError is a command line that cannot be carried out: the caller's exit code is 2.
type UsageError struct{ Problem string }

func (e *UsageError) Error() string { return e.Problem }

// Call is a command line for Colmena: the words, which are passed on as they are, and what they mean as far as we need to know.
type Call struct {
	Subcommand string   // Colmena's name of it
	Words      []string // everything after the subcommand, untouched
	Goal       string   // first positional word of apply and apply-local, such as push; empty for the default
	On         string   // value of --on
	HasOn      bool     // --on was given; its value may be empty
	Node       string   // --node of apply-local
	NodeLimit  string   // --eval-node-limit
	Help       bool     // -h, --help, or -V (which no subcommand has): answered by Colmena without a hive
	Strange    bool     // something here that Colmena most likely refuses, or that is newer than this package: Colmena is the judge
}

// NeedsHive tells whether Colmena will open the hive.
func (c Call) NeedsHive() bool { return !c.Help }

// Parse reads the words after one of our subcommands as Colmena's own parser (clap 4, without abbreviations) does. It gives a
// *UsageError for an unknown subcommand and for -f or --config, because the hive is the generated one.
func Parse(name string, words []string) (Call, error) {
	all := Subcommands()
	i := slices.IndexFunc(all, func(s Subcommand) bool { return s.Name == name })
	if i < 0 {
		return Call{}, &UsageError{"unknown subcommand " + name}
	}
	p := parser{call: Call{Subcommand: all[i].Colmena, Words: slices.Clone(words)}}
	p.parse(words)
	if p.config && !p.call.Help {
		return Call{}, &UsageError{"-f/--config is already given: Colmena works on the generated hive (generated/hive.nix), and of two " +
			"it would silently take the last; for another hive call colmena itself"}
	}
	return p.call, nil
}

// parser walks over the words once.
type parser struct {
	call   Call
	config bool // -f was seen
}

func (p *parser) parse(words []string) {
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		switch {
		case word == "--":
			p.positional(words...)
			return
		case strings.HasPrefix(word, "--"):
			words = p.long(word[2:], words)
		case len(word) > 1 && word[0] == '-':
			words = p.short(word[1:], words)
		case p.call.Subcommand == "exec":
			return // the first word of the remote command: the rest is the command's, options too
		default:
			p.positional(word)
		}
	}
}

// positional takes words that are no options. Only a goal is of interest.
func (p *parser) positional(words ...string) {
	if len(words) > 0 && p.call.Goal == "" && (p.call.Subcommand == "apply" || p.call.Subcommand == "apply-local") {
		p.call.Goal = words[0]
	}
}

// long takes an option without its two hyphens and returns the words that it leaves.
func (p *parser) long(text string, rest []string) []string {
	name, value, attached := strings.Cut(text, "=")
	o, known := find(func(o option) bool { return o.long == name && name != "" })
	if !known || attached && o.values != 1 {
		p.call.Strange = true
	}
	switch {
	case o.values == 0:
		p.take(o, "")
		return rest
	case attached:
		p.take(o, value)
		return rest
	}
	return p.values(o, rest)
}

// short takes a cluster such as vp3 and returns the words that it leaves.
func (p *parser) short(cluster string, rest []string) []string {
	for i := range len(cluster) {
		o, known := find(func(o option) bool { return o.short == cluster[i] })
		if !known {
			p.call.Strange = true
			return rest
		}
		if o.values == 0 {
			p.take(o, "")
			continue
		}
		if value := cluster[i+1:]; value != "" {
			p.take(o, strings.TrimPrefix(value, "="))
			return rest
		}
		return p.values(o, rest)
	}
	return rest
}

// values takes the words after an option. A word with a hyphen in front is never a value to Colmena.
func (p *parser) values(o option, rest []string) []string {
	for i := range o.values {
		if i >= len(rest) || len(rest[i]) > 1 && rest[i][0] == '-' {
			p.call.Strange = true
			p.take(o, "")
			return rest[i:]
		}
	}
	p.take(o, rest[0])
	return rest[o.values:]
}

func (p *parser) take(o option, value string) {
	switch o.long {
	case "on":
		p.call.Strange = p.call.Strange || p.call.HasOn
		p.call.On, p.call.HasOn = value, true
	case "node":
		p.call.Node = value
	case "eval-node-limit":
		p.call.NodeLimit = value
	case "config":
		p.config = true
	case "help", "version":
		p.call.Help = true
	}
}

// option is one of Colmena's options in any subcommand.
type option struct {
	long   string // without hyphens; empty if it has only a short form
	short  byte   // 0 if it has only a long form
	values int    // words that follow it
}

// FlagWords is how many words a flag of Colmena takes, itself included; 0 is no flag of Colmena's.
func FlagWords(word string) int {
	name, long := strings.CutPrefix(word, "--")
	name, _, attached := strings.Cut(name, "=")
	o, known := find(func(o option) bool {
		if long {
			return o.long == name && name != ""
		}
		return len(word) > 1 && o.short == word[1]
	})
	switch {
	case !known:
		return 0
	case attached || !long && len(word) > 2:
		return 1
	}
	return 1 + o.values
}

// find looks in the options of all subcommands, from the help of 0.4.0 and 0.5.0-pre and tries of the hidden ones. Colmena accepts no
// abbreviations.
func find(is func(option) bool) (option, bool) {
	for _, o := range []option{
		{"on", 0, 1},
		{"node", 0, 1},
		{"config", 'f', 1},
		{"nix-option", 0, 2},
		{"color", 0, 1},
		{"parallel", 'p', 1},
		{"eval-node-limit", 0, 1},
		{"evaluator", 0, 1},
		{"", 'E', 1},
		{"help", 'h', 0},
		{"version", 'V', 0},
		{"verbose", 'v', 0},
		{"show-trace", 0, 0},
		{"impure", 0, 0},
		{"keep-result", 0, 0},
		{"no-keys", 0, 0},
		{"reboot", 0, 0},
		{"no-substitute", 0, 0},
		{"no-substitutes", 0, 0},
		{"no-gzip", 0, 0},
		{"build-on-target", 0, 0},
		{"no-build-on-target", 0, 0},
		{"force-replace-unknown-profiles", 0, 0},
		{"sudo", 0, 0},
		{"instantiate", 0, 0},
		{"legacy-flake-eval", 0, 0},
		{"experimental-flake-eval", 0, 0},
	} {
		if is(o) {
			return o, true
		}
	}
	return option{}, false
}

// Everywhere names the hosts that c works on if it names none: all that can be deployed to. The generated hive demands names
// (meta.allowApplyAll = false), which protects those who call Colmena themselves; who asks us for a deployment means it.
func (c Call) Everywhere(nodes []Node) Call {
	if c.Subcommand != "apply" || c.HasOn || c.Help || c.Strange {
		return c
	}
	all := selectAll(nodes, c.remote()).Nodes
	if len(all) == 0 || slices.ContainsFunc(all, func(name string) bool { return strings.ContainsAny(name, ",@*?[]{}!\\") }) {
		return c // Colmena would take such a name for a pattern
	}
	c.On, c.HasOn = strings.Join(all, ","), true
	c.Words = append([]string{"--on", c.On}, c.Words...)
	return c
}
