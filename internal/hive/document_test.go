package hive

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the rules into docs/check.md anew")

// The rules are told by themselves: what their functions say they do, and what they find in the cases of their tests.
func TestEveryRuleIsInTheDocs(t *testing.T) {
	const page = "../../docs/check.md"
	const mark = "<!-- below: generated from internal/hive by \"make docs\" -->\n"
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, _, found := strings.Cut(string(b), mark)
	if !found {
		t.Fatalf("%s has no line %s", page, mark)
	}
	want := head + mark + rulesText(t)
	if *update {
		err = os.WriteFile(page, []byte(want), 0o644)
	} else if want != string(b) {
		err = fmt.Errorf("%s is stale: run make docs and commit the result", page)
	}
	if err != nil {
		t.Error(err)
	}
}

func rulesText(t *testing.T) string {
	docs := functionDocs(t)
	var b strings.Builder
	for _, group := range ruleGroups() {
		fmt.Fprintf(&b, "\n## %s\n", group.title)
		for _, r := range group.rules {
			about := docs[r.function]
			if about == "" {
				t.Errorf("rule %s: function %s says nothing about itself", r.id, r.function)
			}
			b.WriteString(ruleText(t, r.id, about))
		}
	}
	return b.String()
}

type documentedRule struct{ id, function string }

type ruleGroup struct {
	title string
	rules []documentedRule
}

func ruleGroups() []ruleGroup {
	between := ruleGroup{title: "Between hosts"}
	for _, r := range hiveRules() {
		between.rules = append(between.rules, documentedRule{r.id, functionName(r.find)})
	}
	groups := []ruleGroup{between}
	for _, g := range []struct {
		title string
		rules []hostRule
	}{
		{"Names", nameRules()},
		{"Network", networkRules()},
		{"Logins", loginRules()},
		{"Boot", bootRules()},
		{"Storage", storageRules()},
		{"Installation", setupRules()},
		{"Deployment and secrets", deploymentRules()},
		{"Release", releaseRules()},
	} {
		group := ruleGroup{title: g.title}
		for _, r := range g.rules {
			group.rules = append(group.rules, documentedRule{r.id, functionName(r.find)})
		}
		groups = append(groups, group)
	}
	last := &groups[len(groups)-1]
	last.rules = append(last.rules, documentedRule{"nixos-assertion", functionName(assertions)})
	return groups
}

func functionName(f any) string {
	name := runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
	return name[strings.LastIndex(name, ".")+1:]
}

// functionDocs are the comments of the functions of this package, without the name they begin with.
func functionDocs(t *testing.T) map[string]string {
	files, err := filepath.Glob("check*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files of rules: %v", err)
	}
	docs := map[string]string{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				text := strings.TrimPrefix(strings.Join(strings.Fields(f.Doc.Text()), " "), f.Name.Name+" ")
				docs[f.Name.Name] = text
			}
		}
	}
	return docs
}

// ruleText shows a rule with the first thing its cases let it find.
func ruleText(t *testing.T, id, about string) string {
	var severities []string
	var example Problem
	for _, c := range ruleCases() {
		h := soundHive()
		c.change(h.Hosts)
		for _, p := range Check(h, c.in) {
			if p.Rule != id {
				continue
			}
			severities = append(severities, string(p.Severity))
			if example.Rule == "" {
				example = p
			}
		}
	}
	if example.Rule == "" {
		t.Errorf("rule %s: no case shows it", id)
		return ""
	}
	slices.SortFunc(severities, func(a, b string) int { return Severity(a).rank() - Severity(b).rank() })
	where := strings.Join(slices.DeleteFunc([]string{example.Host, example.Option}, func(s string) bool { return s == "" }), ": ")
	return fmt.Sprintf("\n### %s\n\n**%s.** %s%s\n\n```\n%s: %s\n-> %s\n```\n",
		id, strings.Join(slices.Compact(severities), " or "), strings.ToUpper(about[:1]), about[1:], where, example.Message, example.Way)
}
