package colmena

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"nixos-staged-hive/internal/run"
)

// deployment is what a node says about itself, with the limits of the types that Colmena reads it into.
type deployment struct {
	TargetHost                 *string        `json:"targetHost"`
	TargetPort                 *uint16        `json:"targetPort"`
	TargetUser                 *string        `json:"targetUser"`
	AllowLocalDeployment       bool           `json:"allowLocalDeployment"`
	Tags                       []string       `json:"tags"`
	PrivilegeEscalationCommand []string       `json:"privilegeEscalationCommand"`
	SSHOptions                 []string       `json:"sshOptions"`
	Keys                       map[string]key `json:"keys"`
}

type key struct {
	Text       *string  `json:"text"`
	KeyFile    *string  `json:"keyFile"`
	KeyCommand []string `json:"keyCommand"`
	User       string   `json:"user"`
	Group      string   `json:"group"`
}

// query evaluates one attribute of contract.nix into v.
func (p *program) query(ctx context.Context, attribute string, selected []string, v any) error {
	args := []string{"--argstr", "select", "null"}
	if selected != nil {
		text, err := json.Marshal(selected)
		if err != nil {
			return err
		}
		args[2] = string(text)
	}
	out, err := p.nix(ctx, attribute, args...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, v); err != nil {
		return said("Nix returned invalid response: " + string(out))
	}
	return nil
}

// nix evaluates an attribute of the contract; nix says on stderr what is wrong.
func (p *program) nix(ctx context.Context, attribute string, args ...string) ([]byte, error) {
	path := filepath.Join(p.temp, "contract.nix")
	if err := os.WriteFile(path, []byte(contract), 0o600); err != nil {
		return nil, err
	}
	out, err := run.Output(ctx, run.Local{}, run.Command{
		Name: "nix-instantiate", Stderr: p.errOut,
		Args: append([]string{
			"--eval", "--json", "--strict", "--read-write-mode", path, "-A", attribute,
			"--argstr", "file", p.words.config, "--argstr", "family", p.family(),
		}, args...),
	})
	return out, childFailure(err)
}

// said is an error in Colmena's own words.
type said string

func (s said) Error() string { return string(s) }

// childFailure says it as Colmena does.
func childFailure(err error) error {
	if failed := (*run.Error)(nil); errors.As(err, &failed) && failed.ExitCode >= 0 {
		return said(fmt.Sprintf("Child process exited with error code: %d", failed.ExitCode))
	}
	return err
}

func (p *program) eval(ctx context.Context) int {
	path := p.words.file
	if p.words.hasExpression == (path != "") {
		p.log("ERROR", "Provide either an expression (-E) or a .nix file containing an expression.")
		return 1
	}
	if p.words.hasExpression {
		path = filepath.Join(p.temp, "expression.nix")
		if err := os.WriteFile(path, []byte(p.words.expression), 0o600); err != nil {
			return p.fail(err)
		}
	}
	path, err := filepath.Abs(path)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		return p.panic(`Could not generate absolute path to expression file.: Os { code: 2, kind: NotFound, message: "No such file or directory" }`)
	}
	out, err := p.nix(ctx, "result", "--argstr", "expression", path)
	if err != nil {
		return p.fail(err)
	}
	var text string
	if err := json.Unmarshal(out, &text); err != nil {
		return p.fail(err)
	}
	fmt.Fprintln(p.out, text)
	return 0
}

func (p *program) applyLocal() int {
	release, _ := os.ReadFile("/etc/os-release")
	if !slices.Contains(strings.Split(string(release), "\n"), "ID=nixos") {
		p.log("ERROR", `"apply-local" only works on NixOS machines.`)
		return 5
	}
	return p.fail(errors.New("the stand-in does not deploy to this machine"))
}

// enumerate gives the selected hosts and their deployment. An exit code other than 0 ends the run.
func (p *program) enumerate(ctx context.Context, remote bool) ([]string, map[string]deployment, int) {
	if code := p.checkFilter(); code != 0 {
		return nil, nil, code
	}
	p.log("INFO", "Enumerating nodes...")
	var names []string
	if err := p.query(ctx, "names", nil, &names); err != nil {
		return nil, nil, p.fail(err)
	}
	total := len(names)
	picked, err := p.selected(ctx, names)
	if err != nil {
		return nil, nil, p.fail(err)
	}
	deployments := map[string]deployment{}
	if err := p.query(ctx, "deployments", picked, &deployments); err != nil {
		return nil, nil, p.fail(err)
	}
	if err := validate(deployments); err != nil {
		return nil, nil, p.fail(err)
	}
	matched := len(picked)
	if remote {
		picked = slices.DeleteFunc(picked, func(n string) bool { return deployments[n].TargetHost == nil })
	}
	p.sayCount(total, matched, len(picked))
	return picked, deployments, 0
}

// checkFilter does what Colmena does before it looks at the hive.
func (p *program) checkFilter() int {
	if !p.words.hasOn || strings.TrimSpace(p.words.on) == "" {
		return 0
	}
	if emptyRule(p.words.on) {
		return p.fail(said("Filter rule cannot be empty"))
	}
	for rule := range strings.SplitSeq(p.words.on, ",") {
		if _, err := glob(strings.TrimPrefix(strings.TrimSpace(rule), "@")); err != nil {
			return p.panic(fmt.Sprintf("called `Result::unwrap()` on an `Err` value: PatternError { pos: 0, msg: %q }", err.Error()))
		}
	}
	return 0
}

func emptyRule(on string) bool {
	return slices.ContainsFunc(strings.Split(on, ","), func(r string) bool { return strings.TrimSpace(r) == "" })
}

func (p *program) sayCount(total, matched, left int) {
	skipped := ""
	if matched > left {
		skipped = fmt.Sprintf(" (%d skipped)", matched-left)
	}
	switch {
	case left == 0 && matched == 0:
		p.log("WARN", "No hosts selected (0 skipped).")
	case left == 0:
		p.log("WARN", "No hosts selected.")
	case left == total:
		p.log("INFO", fmt.Sprintf("Selected all %d nodes.", left))
	default:
		p.log("INFO", fmt.Sprintf("Selected %d out of %d hosts%s.", left, total, skipped))
	}
}

// selected applies --on. The tags of all hosts are evaluated only if a rule asks for tags.
func (p *program) selected(ctx context.Context, names []string) ([]string, error) {
	if !p.words.hasOn {
		return names, nil
	}
	all := map[string]deployment{}
	if strings.Contains(p.words.on, "@") {
		if err := p.query(ctx, "deployments", nil, &all); err != nil {
			return nil, err
		}
	}
	picked := []string{}
	for _, name := range names {
		if matches(p.words.on, name, all[name].Tags) {
			picked = append(picked, name)
		}
	}
	return picked, nil
}

// matches tells that one rule of on selects the host.
func matches(on, name string, tags []string) bool {
	for rule := range strings.SplitSeq(on, ",") {
		text, tag := strings.CutPrefix(strings.TrimSpace(rule), "@")
		re, err := glob(text)
		if err != nil || strings.TrimSpace(on) == "" {
			continue
		}
		if tag && slices.ContainsFunc(tags, re.MatchString) || !tag && re.MatchString(name) {
			return true
		}
	}
	return false
}

// glob translates a pattern of --on to a regular expression, piece by piece.
func glob(text string) (*regexp.Regexp, error) {
	pieces := regexp.MustCompile(`(?s)\[!.[^\]]*\]|\[[^!][^\]]*\]|\*+|.`).FindAllString(text, -1)
	re := ""
	for i := 0; i < len(pieces); i++ {
		piece := pieces[i]
		switch {
		case strings.HasPrefix(piece, "***"):
			return nil, errors.New("wildcards are either regular `*` or recursive `**`")
		case piece == "**":
			slash := i+1 < len(pieces) && pieces[i+1] == "/"
			if i > 0 && pieces[i-1] != "/" || i+1 < len(pieces) && !slash {
				return nil, errors.New("recursive wildcards must form a single path component")
			}
			if slash {
				i++
			}
			re += `(?:.*/|.*$)?`
		case piece == "*":
			re += `.*`
		case piece == "?":
			re += `.`
		case piece == "[":
			return nil, errors.New("invalid range pattern")
		case piece[0] == '[':
			re += members(piece[1 : len(piece)-1])
		default:
			re += regexp.QuoteMeta(piece)
		}
	}
	return regexp.Compile(`(?s)^(?:` + re + `)$`)
}

// members writes a set as a class of a regular expression, each range on its own, backwards ones left out.
func members(s string) string {
	class := "["
	if s[0] == '!' && len(s) > 1 {
		class, s = "[^", s[1:]
	}
	empty := true
	for r := []rune(s); len(r) > 0; {
		from, to, n := r[0], r[0], 1
		if len(r) >= 3 && r[1] == '-' {
			to, n = r[2], 3
		}
		if from <= to {
			class += fmt.Sprintf(`\x{%x}-\x{%x}`, from, to)
			empty = false
		}
		r = r[n:]
	}
	switch {
	case empty && class == "[":
		return `[^\x{0}-\x{10ffff}]`
	case empty:
		return `.`
	}
	return class + "]"
}

// validate is what Colmena checks after Nix has accepted the hive. The name of a key is the attribute's; the option is not looked at.
func validate(all map[string]deployment) error {
	owner := regexp.MustCompile(`^[a-z][-a-z0-9]*$`)
	for _, d := range all {
		for name, k := range d.Keys {
			sources := 0
			for _, given := range []bool{k.Text != nil, k.KeyFile != nil, k.KeyCommand != nil} {
				if given {
					sources++
				}
			}
			if sources != 1 {
				return said("Nix returned invalid response: a key needs exactly one source")
			}
			if strings.Contains(name, "/") || !owner.MatchString(k.User) || !owner.MatchString(k.Group) {
				return said("Validation error")
			}
		}
	}
	return nil
}
