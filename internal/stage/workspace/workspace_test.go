package workspace

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// folder makes a workspace from file names and contents; a name that ends with a slash is a folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "a work space")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		put(t, filepath.Join(dir, name), content, strings.HasSuffix(name, "/"))
	}
	return dir
}

func put(t *testing.T, path, content string, isDir bool) {
	t.Helper()
	parent := filepath.Dir(path)
	if isDir {
		parent = path
	}
	err := os.MkdirAll(parent, 0o755)
	if !isDir {
		err = errors.Join(err, os.WriteFile(path, []byte(content), 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// wantError wants an error that contains every one of the texts, and hints wherever it is an *Error.
func wantError(t *testing.T, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one about %q", texts)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not say %q", err, text)
		}
	}
}

func hintOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Hint()
	}
	return ""
}

func TestEveryNixFileAndFolderWithDefaultIsAHost(t *testing.T) {
	dir := folder(t, map[string]string{
		"nixConfigs/web2.nix":           "{}",
		"nixConfigs/web1/default.nix":   "{}",
		"nixConfigs/.hidden.nix":        "{}",
		"nixConfigs/.git/default.nix":   "",
		"nixConfigs/notes.txt":          "",
		"nixConfigs/helpers/thing.nix":  "",
		"nixConfigs/web2/part.nix":      "",
		"nixConfigs/bad name!.nix":      "{}",
		"elsewhere/linked.nix":          "{}",
		"elsewhere/linked2/default.nix": "{}",
	})
	for _, link := range []string{"linked.nix", "linked2"} {
		if err := os.Symlink("../elsewhere/"+link, filepath.Join(dir, "nixConfigs", link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/nowhere/at/all", filepath.Join(dir, "nixConfigs", "README")); err != nil {
		t.Fatal(err)
	}
	w, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []Definition{
		{"bad name!", "nixConfigs/bad name!.nix"},
		{"linked", "nixConfigs/linked.nix"},
		{"linked2", "nixConfigs/linked2"},
		{"web1", "nixConfigs/web1"},
		{"web2", "nixConfigs/web2.nix"},
	}
	if !slices.Equal(w.Hosts, want) {
		t.Errorf("hosts %v\nwant  %v", w.Hosts, want)
	}
	wantWarnings := []string{"folder nixConfigs/helpers is ignored: it has no default.nix", "folder nixConfigs/web2 is ignored: it has no default.nix"}
	if !slices.Equal(w.Warnings, wantWarnings) {
		t.Errorf("warnings %q", w.Warnings)
	}
}

func TestTheFolderOfDefinitionsHasSeveralNames(t *testing.T) {
	for _, c := range []struct {
		folders []string
		want    string
		err     string
	}{
		{[]string{"nixConfigs"}, "nixConfigs", ""},
		{[]string{"my-nixconfigs"}, "my-nixconfigs", ""},
		{[]string{"NixConfigs", "nixConfigs"}, "nixConfigs", ""},
		{[]string{"aNixconfigs", "bnixConfigs"}, "", "several folders of definitions: aNixconfigs, bnixConfigs"},
		{[]string{"NIXCONFIGS"}, "", "is not a workspace"},
		{[]string{".nixConfigs"}, "", "is not a workspace"},
		{[]string{"nixConfigsOld"}, "", "is not a workspace"},
	} {
		files := make(map[string]string)
		for _, f := range c.folders {
			files[f+"/web.nix"] = "{}"
		}
		w, err := Open(folder(t, files))
		if c.err != "" {
			wantError(t, err, c.err)
			continue
		}
		if err != nil || w.Definitions != c.want {
			t.Errorf("%v: %+v, %v", c.folders, w, err)
		}
	}
}

func TestAFolderThatIsNoWorkspaceLeadsToInit(t *testing.T) {
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "missing")} {
		_, err := Open(dir)
		wantError(t, err, dir)
		if !strings.Contains(hintOf(err), "nixos-staged-hive init") {
			t.Errorf("hint %q", hintOf(err))
		}
	}
}

func TestAnEmptyFolderOfDefinitionsIsAClearError(t *testing.T) {
	_, err := Open(folder(t, map[string]string{"nixConfigs/": ""}))
	wantError(t, err, "has no definitions")
	if !strings.Contains(hintOf(err), "nixConfigs/NAME.nix") {
		t.Errorf("hint %q", hintOf(err))
	}
}

func TestAllProblemsAreReportedAtOnce(t *testing.T) {
	dir := folder(t, map[string]string{
		"nixConfigs/a.nix":           "{}",
		"nixConfigs/a/default.nix":   "{}",
		"nixConfigs/\xff.nix":        "{}",
		"nixConfigs/b/default.nix/x": "",
		"versions.json":              `{"nixos": 24.05}`,
	})
	if err := os.Symlink("gone", filepath.Join(dir, "nixConfigs", "dangling.nix")); err != nil {
		t.Fatal(err)
	}
	_, err := Open(dir)
	wantError(t, err, "host a has two definitions: nixConfigs/a and nixConfigs/a.nix", `"nixConfigs/\xff.nix"`,
		"read definition nixConfigs/dangling.nix", "versions.json:1:11: nixos: expected text in quotes")
}

func TestVersionsOfAHostWithoutDefinitionAreAWarning(t *testing.T) {
	w, err := Open(folder(t, map[string]string{"nixConfigs/web1.nix": "", "versions.json": `{"hosts": {"web2": {}, "web1": {"without": ["ip"]}}, "without": ["x"]}`}))
	if err != nil {
		t.Fatal(err)
	}
	if len(w.Warnings) != 1 || !strings.Contains(w.Warnings[0], "host web2, which has no definition (did you mean web1?)") {
		t.Errorf("warnings %q", w.Warnings)
	}
	if got := w.Versions.WithoutFor("web1"); !slices.Equal(got, []string{"x", "ip"}) {
		t.Errorf("without %q", got)
	}
}
