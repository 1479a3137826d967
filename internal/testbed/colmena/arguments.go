package colmena

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// arguments is a command line that Colmena accepts.
type arguments struct {
	subcommand         string
	config             string // -f
	on                 string
	hasOn              bool
	node               string
	goal               string
	expression         string // eval -E
	hasExpression      bool
	instantiate        bool
	nodeLimit          int // 0 is no limit
	hasNodeLimit       bool
	keepResult         bool
	command            []string // of exec
	file               string   // of eval
	help, printVersion bool
	color              string
}

// hive is the file to evaluate, absolute. Without -f it is searched upwards from here.
func (a arguments) hive() (string, error) {
	if a.config != "" {
		path, err := filepath.Abs(a.config)
		if err == nil {
			_, err = os.Stat(path)
		}
		if err != nil {
			return "", said("I/O Error: No such file or directory (os error 2)")
		}
		return path, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		path := filepath.Join(dir, "hive.nix")
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no hive")
		}
		dir = filepath.Dir(dir)
	}
}

// flag is an option of one subcommand.
type flag struct {
	long   string
	short  string
	values int
	check  func(string) error
}

// globals are accepted before and after the subcommand.
func globals() []flag {
	return []flag{
		{long: "show-trace"},
		{long: "impure"},
		{long: "nix-option", values: 2},
		{long: "config", short: "f", values: 1},
		{long: "help", short: "h"},
		{long: "color", values: 1, check: oneOf("auto", "always", "never")},
	}
}

// flags are those of a subcommand, and of no subcommand for "".
func flags(version, subcommand string) []flag {
	f := globals()
	if strings.HasPrefix(version, "0.5") {
		f = append(f, flag{long: "legacy-flake-eval"}, flag{long: "experimental-flake-eval"})
	} else {
		f = append(f, flag{long: "experimental-flake-eval"})
	}
	on, parallel, verbose := flag{long: "on", values: 1}, flag{long: "parallel", short: "p", values: 1, check: number}, flag{long: "verbose", short: "v"}
	switch subcommand {
	case "":
		return append(f, flag{long: "version", short: "V"})
	case "build", "apply", "upload-keys":
		return append(f, on, parallel, verbose,
			flag{long: "eval-node-limit", values: 1, check: nodeLimit}, flag{long: "keep-result"}, flag{long: "no-keys"}, flag{long: "reboot"},
			flag{long: "no-substitute"}, flag{long: "no-substitutes"}, flag{long: "no-gzip"}, flag{long: "build-on-target"},
			flag{long: "no-build-on-target"}, flag{long: "force-replace-unknown-profiles"},
			flag{long: "evaluator", values: 1, check: oneOf("chunked", "streaming")})
	case "exec":
		return append(f, on, parallel, verbose)
	case "apply-local":
		return append(f, verbose, flag{long: "sudo"}, flag{long: "no-keys"}, flag{long: "node", values: 1})
	case "eval", "introspect":
		return append(f, flag{short: "E", values: 1}, flag{long: "instantiate"})
	}
	return f
}

func oneOf(allowed ...string) func(string) error {
	return func(s string) error {
		if slices.Contains(allowed, s) {
			return nil
		}
		return fmt.Errorf("invalid value '%s'\n  [possible values: %s]", s, strings.Join(allowed, ", "))
	}
}

func number(s string) error {
	if _, err := strconv.ParseUint(s, 10, 64); err != nil {
		return fmt.Errorf("invalid value '%s': invalid digit found in string", s)
	}
	return nil
}

func nodeLimit(s string) error {
	if s == "auto" {
		return nil
	}
	return number(s)
}

func goals(version, subcommand string) []string {
	keys := "upload-keys"
	if version == "0.4.0" {
		keys = "keys"
	}
	switch {
	case subcommand == "apply":
		return []string{"build", "push", "switch", "boot", "test", "dry-activate", keys}
	case subcommand == "build" && version == "0.4.0":
		return []string{"build"} // hidden, but taken
	case subcommand == "apply-local" && version == "0.4.0":
		return []string{"push", "switch", "boot", "test", "dry-activate", keys}
	case subcommand == "apply-local":
		return []string{"build", "push", "switch", "boot", "test", "dry-activate", keys}
	}
	return nil
}

// strict is the parser on its way.
type strict struct {
	version string
	args    arguments
	seen    map[string]bool
	rest    []string
	places  int // positional words so far
}

var errHelp = errors.New("help")

// parse reads a command line and refuses what Colmena's own parser refuses. Help and version end it at once, as they do there.
func parse(version string, words []string) (arguments, error) {
	s := &strict{version: version, rest: words, seen: map[string]bool{}}
	err := s.options("")
	if errors.Is(err, errHelp) {
		return s.args, nil
	}
	if err != nil {
		return s.args, err
	}
	if len(s.rest) == 0 {
		if version == "0.4.0" {
			s.args.help = true
			return s.args, nil
		}
		return s.args, errors.New("'colmena' requires a subcommand but one was not provided")
	}
	s.args.subcommand, s.rest = s.rest[0], s.rest[1:]
	if !slices.Contains([]string{"build", "apply", "apply-local", "upload-keys", "exec", "eval", "introspect", "repl", "nix-info"}, s.args.subcommand) {
		return s.args, fmt.Errorf("unrecognized subcommand '%s'", s.args.subcommand)
	}
	s.seen = map[string]bool{} // a global may be given once before and once after the subcommand
	err = s.subcommand()
	if errors.Is(err, errHelp) {
		return s.args, nil
	}
	return s.args, err
}

// subcommand reads all words after it.
func (s *strict) subcommand() error {
	for {
		if err := s.options(s.args.subcommand); err != nil {
			return err
		}
		if len(s.rest) == 0 {
			break
		}
		if s.rest[0] == "--" {
			return s.last(s.rest[1:])
		}
		if s.args.subcommand == "exec" {
			return s.last(s.rest)
		}
		if err := s.positional(s.rest[0]); err != nil {
			return err
		}
		s.rest = s.rest[1:]
	}
	return s.last(nil)
}

// last takes the words that can be no options any more, and checks what is missing.
func (s *strict) last(words []string) error {
	if s.args.subcommand == "exec" {
		s.args.command = words
		if len(words) == 0 {
			return errors.New("the following required arguments were not provided:\n  <COMMAND>...")
		}
		return nil
	}
	for _, w := range words {
		if len(w) > 1 && w[0] == '-' && goals(s.version, s.args.subcommand) != nil {
			return fmt.Errorf("unexpected argument '%s' found", w)
		}
		if err := s.positional(w); err != nil {
			return err
		}
	}
	return nil
}

func (s *strict) positional(word string) error {
	s.places++
	if allowed := goals(s.version, s.args.subcommand); allowed != nil && s.places == 1 {
		s.args.goal = word
		return oneOf(allowed...)(word)
	}
	if (s.args.subcommand == "eval" || s.args.subcommand == "introspect") && s.places == 1 {
		s.args.file = word
		return nil
	}
	return fmt.Errorf("unexpected argument '%s' found", word)
}

// options reads options up to the next word that is none.
func (s *strict) options(subcommand string) error {
	known := flags(s.version, subcommand)
	for len(s.rest) > 0 {
		word := s.rest[0]
		if len(word) < 2 || word[0] != '-' || word == "--" {
			return nil
		}
		s.rest = s.rest[1:]
		var err error
		if strings.HasPrefix(word, "--") {
			err = s.long(known, word)
		} else {
			err = s.short(known, word)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *strict) long(known []flag, word string) error {
	name, value, attached := strings.Cut(word[2:], "=")
	i := slices.IndexFunc(known, func(f flag) bool { return f.long == name && name != "" })
	if i < 0 {
		return fmt.Errorf("unexpected argument '--%s' found", name)
	}
	f := known[i]
	if attached && f.values == 0 {
		return fmt.Errorf("unexpected value '%s' for '--%s' found; no more were expected", value, name)
	}
	if attached && f.values > 1 {
		return fmt.Errorf("%d values required for '--%s' but 1 was provided", f.values, name)
	}
	if attached {
		return s.set(f, value)
	}
	return s.withValues(f)
}

func (s *strict) short(known []flag, word string) error {
	for cluster := word[1:]; cluster != ""; {
		i := slices.IndexFunc(known, func(f flag) bool { return f.short != "" && strings.HasPrefix(cluster, f.short) })
		if i < 0 {
			return fmt.Errorf("unexpected argument '-%s' found", cluster)
		}
		cluster = cluster[1:]
		if known[i].values > 0 && cluster != "" {
			return s.set(known[i], strings.TrimPrefix(cluster, "="))
		}
		if err := s.withValues(known[i]); err != nil {
			return err
		}
	}
	return nil
}

// withValues takes the words that belong to f.
func (s *strict) withValues(f flag) error {
	for i := range f.values {
		if i >= len(s.rest) || len(s.rest[i]) > 1 && s.rest[i][0] == '-' {
			return fmt.Errorf("a value is required for '--%s' but none was supplied", f.long)
		}
	}
	value := ""
	if f.values > 0 {
		value = s.rest[0]
	}
	s.rest = s.rest[f.values:]
	return s.set(f, value)
}

func (s *strict) set(f flag, value string) error {
	key := f.long + f.short
	if s.seen[key] {
		return fmt.Errorf("the argument '--%s' cannot be used multiple times", f.long)
	}
	s.seen[key] = true
	if f.check != nil {
		if err := f.check(value); err != nil {
			return err
		}
	}
	return s.store(f, value)
}

func (s *strict) store(f flag, value string) error {
	a := &s.args
	switch key := f.long + f.short; key {
	case "helph":
		a.help = true
		return errHelp
	case "versionV":
		a.printVersion = true
		return errHelp
	case "configf":
		a.config = value
	case "on":
		a.on, a.hasOn = value, true
		if s.version != "0.4.0" && strings.TrimSpace(value) != "" && emptyRule(value) {
			return fmt.Errorf("invalid value '%s' for '--on <NODES>': Filter rule cannot be empty", value)
		}
	case "node":
		a.node = value
	case "keep-result":
		a.keepResult = true
	case "eval-node-limit":
		a.nodeLimit, _ = strconv.Atoi(value)
		a.hasNodeLimit = value != "auto"
	case "E":
		a.expression, a.hasExpression = value, true
	case "instantiate":
		a.instantiate = true
	case "color":
		a.color = value
	}
	return nil
}

// Reading is what a command line that Colmena accepts means.
type Reading struct {
	Subcommand, Config, On, Goal, Node string
	HasOn, Help                        bool
}

// Read parses a command line as strictly as a version of Colmena does. It is an opinion independent of the program's own parser.
func Read(version string, args []string) (Reading, error) {
	a, err := parse(version, args)
	if err != nil {
		return Reading{}, err
	}
	return Reading{
		Subcommand: a.subcommand, Config: a.config, On: a.on, Goal: a.goal, Node: a.node, HasOn: a.hasOn, Help: a.help || a.printVersion,
	}, nil
}

// Matches tells whether one rule of --on selects a host of this name and these tags. A rule that Colmena panics at selects nothing.
func Matches(on, name string, tags []string) bool { return matches(on, name, tags) }
