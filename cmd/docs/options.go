package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"nixos-staged-hive/internal/nix"
	"nixos-staged-hive/internal/run"
)

// sources are the folders the options are evaluated from.
type sources struct{ nix, nixpkgs, disko string }

// reference is what nix/options-doc.nix returns.
type reference struct {
	Options []option `json:"options"`
	Aliases []option `json:"aliases"`
}

type option struct {
	Name         string   `json:"name"`
	Type         string   `json:"type"`
	Description  string   `json:"description"`
	Default      *literal `json:"default"`
	Example      *literal `json:"example"`
	Declarations []string `json:"declarations"`
}

// literal is a default or an example: a value, or a text about one.
type literal struct {
	Nix      string          `json:"nix"`
	Markdown string          `json:"markdown"`
	Value    json.RawMessage `json:"value"`
}

// evaluate asks Nix for the options of the modules.
func evaluate(ctx context.Context, r run.Runner, s sources) (reference, error) {
	args := map[string]string{}
	for name, dir := range map[string]string{"nixpkgs": s.nixpkgs, "disko": s.disko} {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return reference{}, err
		}
		args[name] = abs
	}
	file, err := filepath.Abs(filepath.Join(s.nix, "options-doc.nix"))
	if err != nil {
		return reference{}, err
	}
	out, err := nix.Client{Run: r}.Evaluate(ctx, nix.Evaluation{File: file, Args: args})
	if err != nil {
		return reference{}, fmt.Errorf("evaluate the options: %w", err)
	}
	var o reference
	d := json.NewDecoder(bytes.NewReader(out))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return reference{}, fmt.Errorf("read the options: %w", err)
	}
	return o, nil
}

const optionsHead = `<!-- generated from nix/modules by "make docs" -->
# Options

The options that nixos-staged-hive adds to every definition. No import is needed. A host that sets none of them is built as if they
were not there, so stock NixOS options work as always.

`

const aliasesHead = `## Names of the original project

Definitions written for the original project keep working: its names stand for the ones above. A definition that declares an option of
one of these names itself is evaluated without ours, see [definitions.md](definitions.md#options-of-your-own).

| original | today | |
|---|---|---|
`

func optionsPage(o reference) string {
	var b strings.Builder
	b.WriteString(optionsHead)
	slices.SortStableFunc(o.Options, func(x, y option) int { return cmp.Compare(x.Name, y.Name) })
	group := ""
	var sections strings.Builder
	for _, opt := range o.Options {
		if g := groupOf(opt.Name); g != group {
			group = g
			fmt.Fprintf(&b, "- [%s](#%s)\n", g, strings.ReplaceAll(g, ".", ""))
			fmt.Fprintf(&sections, "## %s\n\n", g)
		}
		sections.WriteString(optionText(opt))
	}
	b.WriteString("- [Names of the original project](#names-of-the-original-project)\n\n")
	b.WriteString(sections.String())
	b.WriteString(aliasesHead)
	for _, a := range o.Aliases {
		b.WriteString(aliasRow(a))
	}
	return b.String()
}

// groupOf is hive.network for hive.network.match.mac.
func groupOf(name string) string {
	parts := strings.SplitN(name, ".", 3)
	return strings.Join(parts[:2], ".")
}

func optionText(o option) string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n%s\n\n", escape(o.Name), markdown(o.Description))
	fmt.Fprintf(&b, "- Type: %s\n", o.Type)
	if o.Default != nil {
		fmt.Fprintf(&b, "- Default: %s\n", o.Default.inline())
	}
	if o.Example != nil {
		fmt.Fprintf(&b, "- Example: %s\n", o.Example.inline())
	}
	for _, d := range o.Declarations {
		fmt.Fprintf(&b, "- Declared in: [%s](../%s)\n", d, d)
	}
	return b.String() + "\n"
}

// roles are the marks of the documentation of NixOS: {option}`x` is x.
var roles = regexp.MustCompile("\\{[a-z]+\\}`([^`]*)`")

// markdown is a description as any reader of Markdown shows it.
func markdown(text string) string {
	return strings.TrimSpace(roles.ReplaceAllString(text, "`$1`"))
}

func escape(text string) string {
	return strings.NewReplacer("<", `\<`, ">", `\>`, "_", `\_`, "*", `\*`).Replace(text)
}

// aliasRow says what became of a former name. Its description begins with the new one, if there is one.
func aliasRow(a option) string {
	if strings.Contains(a.Name, "<") || strings.HasSuffix(a.Name, ".keys.*") {
		return ""
	}
	today, note := "", markdown(a.Description)
	if m := roles.FindStringSubmatch(a.Description); m != nil {
		today = "`" + m[1] + "`"
	}
	if strings.HasPrefix(a.Description, "Alias of ") {
		note = ""
	}
	return fmt.Sprintf("| `%s` | %s | %s |\n", a.Name, cmp.Or(today, "none, not used"), strings.ReplaceAll(note, "\n", " "))
}

// inline is a default or an example behind its bullet.
func (l literal) inline() string {
	switch {
	case l.Markdown != "":
		return l.Markdown
	case l.Nix != "":
		return code(strings.TrimSpace(l.Nix))
	}
	return code(nixText(l.Value))
}

// code is Nix on one line, or as a block that belongs to the bullet.
func code(text string) string {
	if !strings.Contains(text, "\n") {
		return "`" + text + "`"
	}
	return "\n  ```nix\n  " + strings.ReplaceAll(text, "\n", "\n  ") + "\n  ```"
}

// nixText writes plain data as Nix does.
func nixText(raw json.RawMessage) string {
	var list []json.RawMessage
	var set map[string]json.RawMessage
	var text string
	switch {
	case bytes.HasPrefix(raw, []byte("[")) && json.Unmarshal(raw, &list) == nil:
		return nixList(list)
	case bytes.HasPrefix(raw, []byte("{")) && json.Unmarshal(raw, &set) == nil:
		return nixSet(set)
	case bytes.HasPrefix(raw, []byte(`"`)) && json.Unmarshal(raw, &text) == nil:
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "${", `\${`, "\n", `\n`).Replace(text) + `"`
	}
	return string(raw) // null, booleans and numbers are spelled alike
}

func nixList(list []json.RawMessage) string {
	words := []string{"["}
	for _, v := range list {
		words = append(words, nixText(v))
	}
	return strings.Join(append(words, "]"), " ")
}

func nixSet(set map[string]json.RawMessage) string {
	words := []string{"{"}
	for _, k := range sortedKeys(set) {
		words = append(words, k+" = "+nixText(set[k])+";")
	}
	return strings.Join(append(words, "}"), " ")
}
