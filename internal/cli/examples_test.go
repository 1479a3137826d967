package cli_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"nixos-staged-hive/internal/testbed/need"
)

// examples gives each folder of examples/ that is a workspace.
func examples(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(need.Module(t), "examples", "*", "nixConfigs"))
	if err != nil || len(found) < 9 {
		t.Fatalf("%d examples, %v", len(found), err)
	}
	for i := range found {
		found[i] = filepath.Dir(found[i])
	}
	return found
}

// copied makes a desk with a copy of an example as its workspace.
func copied(t *testing.T, example string) *desk {
	t.Helper()
	d := newDesk(t, nil)
	pins := d.read("versions.json")
	if err := os.RemoveAll(d.dir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(d.dir, os.DirFS(example)); err != nil {
		t.Fatal(err)
	}
	d.put("versions.json", pins)
	return d
}

func TestEveryExampleGoesTheWholeWay(t *testing.T) {
	t.Parallel()
	for _, example := range examples(t) {
		t.Run(filepath.Base(example), func(t *testing.T) {
			t.Parallel()
			d := copied(t, example)
			for _, p := range d.problems(0) {
				if p.Severity == "error" {
					t.Errorf("check: %+v", p)
				}
			}
			d.run("check").exits(0)
			generatesOnce(t, d)
			summarises(t, d)
			keepsTheLaw(t, d)
			d.holdsNoSecret("generated")
		})
	}
}

// generatesOnce generates twice: the second run has nothing to do.
func generatesOnce(t *testing.T, d *desk) {
	t.Helper()
	var first, second struct{ Written, Unchanged, Removed []string }
	d.run("generate", "--json").exits(0).into(&first)
	before := snapshot(t, d.path("generated"))
	d.run("generate", "--json", "--fresh").exits(0).into(&second)
	if len(first.Written) == 0 || len(second.Written) != 0 || len(second.Unchanged) != len(first.Written) {
		t.Errorf("written %d, then %d (unchanged %d)", len(first.Written), len(second.Written), len(second.Unchanged))
	}
	unchanged(t, "generated/", before, snapshot(t, d.path("generated")))
	d.run("generate").exits(0).says("0 files written")
}

// hosts of a workspace, by its definitions.
func (d *desk) hosts() []string {
	d.Helper()
	entries, err := os.ReadDir(d.path("nixConfigs"))
	if err != nil {
		d.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".nix"))
	}
	return names
}

func summarises(t *testing.T, d *desk) {
	t.Helper()
	hosts := d.hosts()
	d.run("summary").exits(0).says(hosts...)
	var doc struct{ Hosts []json.RawMessage }
	d.run("summary", "--json").exits(0).into(&doc)
	if len(doc.Hosts) != len(hosts) {
		t.Errorf("--json has %d hosts of %d", len(doc.Hosts), len(hosts))
	}
	d.run("summary", "--format", "markdown").exits(0).says(hosts...).says("| --- |")
	d.run("summary", "-f", "mermaid").exits(0).says("flowchart")
	file := d.path("network.svg")
	d.run("summary", "-f", "svg", "-o", file).exits(0)
	text := isXML(t, file)
	for _, name := range hosts {
		if !strings.Contains(text, name) {
			t.Errorf("the picture does not show %s", name)
		}
		d.run("summary", name).exits(0).says(name, "Network", "Storage", "Boot")
		d.run("summary", "--json", name).exits(0).into(&doc)
	}
	d.run("summary", hosts[0]+"x").exits(2).says("did you mean \"" + hosts[0] + "\"")
}

// isXML reads a whole file as XML and gives its text.
func isXML(t *testing.T, file string) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var text strings.Builder
	for d := xml.NewDecoder(f); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return text.String()
		}
		if err != nil {
			t.Errorf("%s is no XML: %v", file, err)
			return text.String()
		}
		if c, ok := token.(xml.CharData); ok {
			text.Write(c)
		}
	}
}

// keepsTheLaw evaluates nix/tests/law.nix: what the mini system has is what the host has.
func keepsTheLaw(t *testing.T, d *desk) {
	t.Helper()
	law := filepath.Join(need.Module(t), "nix", "tests", "law.nix")
	for _, name := range d.hosts() {
		broken := d.evaluate(law, "--argstr", "tree", d.path("generated"), "--argstr", "name", name)
		if strings.TrimSpace(string(broken)) != "[]" {
			t.Errorf("%s: the mini system differs: %s", name, broken)
		}
	}
}

// evaluate runs nix on a file and gives the value as JSON.
func (d *desk) evaluate(words ...string) []byte {
	d.Helper()
	e := d.runEnv(nil, append([]string{"nix-instantiate", "--eval", "--strict", "--json", "--readonly-mode"}, words...)...)
	return []byte(e.exits(0).out)
}

// hash matches what crypt(3) makes of passwords.
var hash = regexp.MustCompile(`\$(6|y|5|2b)\$[^ "]{20,}`)

func (d *desk) holdsNoSecret(folder string) {
	d.Helper()
	files := 0
	err := filepath.WalkDir(d.path(folder), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		files++
		if m := hash.Find(text); m != nil {
			d.Errorf("%s holds a password hash", path)
		}
		return err
	})
	if err != nil || files == 0 {
		d.Errorf("looked through %d files: %v", files, err)
	}
}
