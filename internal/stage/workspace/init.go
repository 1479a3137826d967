package workspace

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/pin"
	"nixos-staged-hive/internal/run"
)

// skeleton holds the files of a new workspace. example.nix and wrapper.sh are complete as they are; the quoted @words@ in them are
// replaced by values.
//
//go:embed skeleton
var skeleton embed.FS

// Options are the answers Init needs. Defaults gives all but Dir and Binary.
type Options struct {
	Dir       string   // the workspace; made if it does not exist
	HostName  string   // of the example host
	AdminName string   // its administrator
	Keys      []string // public SSH keys that may log in as the administrator; may be empty
	System    string   // its platform: x86_64-linux or aarch64-linux
	NixOS     string   // version of NixOS, see pin.ParseSpec
	Disko     string   // version of disko
	K3s       string   // version of K3s, in either spelling
	Binary    string   // absolute path of this program, for the wrapper
}

// Defaults are sensible answers for a person with this home folder and login.
func Defaults(ctx context.Context, r run.Runner, home, login string) Options {
	o := Options{HostName: "homeserver", AdminName: "admin", System: "x86_64-linux", NixOS: DefaultNixOS, Disko: DefaultDisko, K3s: DefaultK3s}
	if login != "root" && loginForm.MatchString(login) {
		o.AdminName = login // then ssh needs no user name
	}
	if runtime.GOARCH == "arm64" {
		o.System = "aarch64-linux"
	}
	if keys := FindKeys(ctx, r, home); len(keys) > 0 {
		o.Keys = []string{keys[0].Line}
	}
	return o
}

// Entry is one file or folder Init looked after.
type Entry struct {
	Path string `json:"path"` // relative to the workspace; folders end with a slash
	Kept bool   `json:"kept"` // it was there before and was left as it is
}

// Report says what Init did.
type Report struct {
	Dir     string   `json:"dir"` // absolute
	Entries []Entry  `json:"entries"`
	Notes   []string `json:"notes"` // what the person should know
}

var (
	hostForm   = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$`) // RFC 1123
	loginForm  = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,30}$`)                      // useradd(8)
	systemForm = regexp.MustCompile(`^[a-z0-9_]+-linux$`)
	release    = regexp.MustCompile(`^nixos-(\d\d\.\d\d)(-small)?$`)
)

// check joins everything that is wrong with the answers.
func (o Options) check() error {
	var problems []error
	wrong := func(ok bool, way, format string, args ...any) {
		if !ok {
			problems = append(problems, &Error{What: fmt.Sprintf(format, args...), Way: way})
		}
	}
	wrong(hostForm.MatchString(o.HostName), "use up to 63 letters, digits and inner hyphens", "host name %q is not possible", o.HostName)
	wrong(loginForm.MatchString(o.AdminName) && o.AdminName != "root", "use lower-case letters, digits, - and _; root is not an administrator",
		"login name %q is not possible", o.AdminName)
	wrong(systemForm.MatchString(o.System), "write x86_64-linux or aarch64-linux", "platform %q is not possible", o.System)
	for _, key := range o.Keys {
		wrong(hive.IsPublicKey(key), "give the one line of a .pub file, such as ~/.ssh/id_ed25519.pub", "this is not a public SSH key: %.40q", key)
	}
	_, nixosErr := pin.ParseSpec(o.NixOS)
	_, diskoErr := pin.ParseSpec(o.Disko)
	_, k3sErr := pin.ParseK3s(o.K3s)
	return errors.Join(append(problems, nixosErr, diskoErr, k3sErr)...)
}

// Init makes a workspace, or completes one. What is there already is never changed: not a file, not a link, and not the workspace of
// the original project, whose definitions run as they are. It can be repeated, and two at the same time do no harm.
func Init(ctx context.Context, o Options) (Report, error) {
	if err := o.check(); err != nil {
		return Report{}, err
	}
	dir, err := filepath.Abs(o.Dir)
	if err = errors.Join(err, context.Cause(ctx)); err != nil {
		return Report{}, fmt.Errorf("init %s: %w", o.Dir, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Report{}, cannotWrite(filepath.Dir(dir), filepath.Base(dir), err)
	}
	b := &builder{Report: Report{Dir: dir}}
	b.definitions(o)
	b.folder(GeneratedName)
	b.versions(o)
	b.file(".gitignore", 0o644, b.read("gitignore"))
	b.file("nixos-staged-hive", 0o755, strings.ReplaceAll(b.read("wrapper.sh"), "'@binary@'", run.Quote(o.Binary)))
	b.shim()
	b.notes()
	return b.Report, b.err
}

// builder makes one thing after the other until something fails.
type builder struct {
	Report
	err error
}

// definitions makes the folder, and the example if there is nothing yet.
func (b *builder) definitions(o Options) {
	found, err := definitionFolders(b.Dir)
	if err != nil {
		b.fail(fmt.Errorf("init %s: %w", b.Dir, err))
		return
	}
	folder := DefinitionsName
	if len(found) > 0 {
		folder, err = findDefinitions(b.Dir)
		b.fail(err)
	}
	b.folder(folder)
	if b.err != nil || hasDefinitions(filepath.Join(b.Dir, folder)) {
		return
	}
	text, err := example(b.read("example.nix"), o)
	b.fail(err)
	b.file(folder+"/"+o.HostName+".nix", 0o644, text)
}

// hasDefinitions is generous: an example beside anything that looks like a definition would be in the way.
func hasDefinitions(folder string) bool {
	entries, err := os.ReadDir(folder)
	return err != nil || slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return !hidden(e.Name()) && (e.IsDir() || strings.HasSuffix(e.Name(), ".nix"))
	})
}

func (b *builder) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

func (b *builder) read(name string) string {
	text, err := skeleton.ReadFile("skeleton/" + name)
	b.fail(err)
	return string(text)
}

func (b *builder) folder(name string) {
	if b.err != nil {
		return
	}
	err := os.Mkdir(filepath.Join(b.Dir, name), 0o755)
	if errors.Is(err, fs.ErrExist) {
		if st, statErr := os.Stat(filepath.Join(b.Dir, name)); statErr != nil || !st.IsDir() {
			b.fail(&Error{What: fmt.Sprintf("%s is in the way: it is not a folder", filepath.Join(b.Dir, name)), Way: "rename or remove it"})
			return
		}
	} else if err != nil {
		b.fail(cannotWrite(b.Dir, name, err))
		return
	}
	b.Entries = append(b.Entries, Entry{Path: name + "/", Kept: err != nil})
}

// file makes a file, all of it or none. O_EXCL is what keeps the promise not to overwrite: it refuses dangling links as well.
func (b *builder) file(name string, mode fs.FileMode, text string) {
	if b.err != nil {
		return
	}
	path := filepath.Join(b.Dir, name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if errors.Is(err, fs.ErrExist) {
		b.Entries = append(b.Entries, Entry{Path: name, Kept: true})
		return
	}
	if err != nil {
		b.fail(cannotWrite(b.Dir, name, err))
		return
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		b.fail(cannotWrite(b.Dir, name, errors.Join(err, os.Remove(path))))
		return
	}
	b.Entries = append(b.Entries, Entry{Path: name})
}

func (b *builder) versions(o Options) {
	text, err := json.MarshalIndent(struct {
		NixOS string `json:"nixos"`
		Disko string `json:"disko"`
		K3s   string `json:"k3s"`
	}{o.NixOS, o.Disko, o.K3s}, "", "  ")
	b.fail(err)
	b.file(VersionsName, 0o644, string(text)+"\n")
}

const (
	shimFolder   = "bin/modules"
	shimFile     = shimFolder + "/default.nix"
	originalMain = "bin/scripts/hive.py"
)

// shim lets definitions of the original project find the modules they import. The original itself is left as it is.
func (b *builder) shim() {
	if b.err != nil {
		return
	}
	if _, err := os.Lstat(filepath.Join(b.Dir, shimFolder)); err == nil {
		b.Entries = append(b.Entries, Entry{Path: shimFolder + "/", Kept: true})
		return
	}
	if err := os.MkdirAll(filepath.Join(b.Dir, shimFolder), 0o755); err != nil {
		b.fail(cannotWrite(b.Dir, shimFolder, err))
		return
	}
	b.file(shimFile, 0o644, b.read("modules.nix"))
}

// notes looks for what was kept and may surprise.
func (b *builder) notes() {
	if b.err != nil {
		return
	}
	if text, err := os.ReadFile(filepath.Join(b.Dir, shimFile)); err == nil && string(text) != b.read("modules.nix") || b.has(originalMain) {
		b.Notes = append(b.Notes, fmt.Sprintf("%s is the original project's and is kept; evaluation ignores it, its options are built in", shimFolder))
	}
	if b.has("staged-hive") {
		b.Notes = append(b.Notes, "staged-hive still starts the original project; ./nixos-staged-hive starts this one")
	}
	if text, err := os.ReadFile(filepath.Join(b.Dir, ".gitignore")); err == nil && !strings.Contains(string(text), StateName) {
		b.Notes = append(b.Notes, fmt.Sprintf(".gitignore is kept as it is; add a line /%s/ to it", StateName))
	}
	if _, err := readVersions(b.Dir); err != nil {
		b.Notes = append(b.Notes, err.Error())
	}
}

func (b *builder) has(name string) bool {
	_, err := os.Lstat(filepath.Join(b.Dir, name))
	return err == nil
}

// example fills the answers into the example definition.
func example(text string, o Options) (string, error) {
	state := strings.TrimPrefix(DefaultNixOS, "nixos-")
	if m := release.FindStringSubmatch(o.NixOS); m != nil {
		state = m[1]
	}
	for word, value := range map[string]string{"@system@": o.System, "@admin@": o.AdminName, "@stateVersion@": state} {
		quoted, err := literal(value)
		if err != nil {
			return "", err
		}
		text = strings.ReplaceAll(text, `"`+word+`"`, quoted)
	}
	keys := []string{"# No public key was found. Put the content of a .pub file here, in quotes."}
	if len(o.Keys) > 0 {
		keys = nil
	}
	for _, key := range o.Keys {
		quoted, err := literal(key)
		if err != nil {
			return "", err
		}
		keys = append(keys, quoted)
	}
	// Last, so that nothing inside a key's comment can be taken for one of the words above.
	return strings.Replace(text, `"@key@"`, strings.Join(keys, "\n      "), 1), nil
}
