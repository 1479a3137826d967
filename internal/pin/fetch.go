package pin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/run"
)

// Fetcher brings sources into the Nix store with the programs git, nix-prefetch-url, nix-instantiate and nix-store.
type Fetcher struct {
	Run      run.Runner
	Progress progress.Sink // one task "fetch NAME" for each source; counts are bytes
	Dir      string        // where relative path specs start from: the workspace
}

// Resolve finds out what spec stands for today, brings it into the store, and returns it with its hash. Errors: *SpecError for a ref
// that does not exist, *TreeError for a tree of something else, *run.MissingError, *run.Error.
func (f Fetcher) Resolve(ctx context.Context, src Source, spec Spec) (Locked, error) {
	var l Locked
	err := f.task(src, "", func(say func(string)) error {
		var err error
		if l, err = f.locate(ctx, src, spec, say); err != nil {
			return err
		}
		if l, err = f.store(ctx, src, l); err != nil {
			return err
		}
		return f.fits(src, l)
	})
	return l, err
}

// Restore brings the content of a lock entry back into the store after it was garbage collected, or on another machine. Content that
// has changed since is a *MismatchError.
func (f Fetcher) Restore(ctx context.Context, src Source, l Locked) error {
	return f.task(src, "not in the store any more: fetching it again", func(func(string)) error {
		from := l
		if l.URL == "" {
			// The lock may come from another machine, where the workspace is in another place.
			from.Path = Spec{Text: l.Spec, Kind: Path}.In(f.Dir)
		}
		now, err := f.store(ctx, src, from)
		if err != nil {
			return err
		}
		if now.NarHash != l.NarHash {
			return &MismatchError{Pin: src.Key(), Spec: l.Spec, From: from.origin(), Want: l.NarHash, Got: now.NarHash}
		}
		return nil
	})
}

// Missing returns those of the store paths that are not (or no longer) valid. It is one program for all of them and needs no network.
func (f Fetcher) Missing(ctx context.Context, storePaths ...string) ([]string, error) {
	if len(storePaths) == 0 {
		return nil, nil
	}
	args := append([]string{"--check-validity", "--print-invalid"}, storePaths...)
	out, err := run.Output(ctx, f.Run, run.Command{Name: "nix-store", Args: args})
	if err != nil {
		return nil, fmt.Errorf("look for pinned sources in the store: %w", err)
	}
	return strings.Fields(string(out)), nil
}

// Root keeps a store path from being garbage collected for as long as link exists. An older root of the same name is replaced.
func (f Fetcher) Root(ctx context.Context, storePath, link string) error {
	args := []string{"--realise", storePath, "--add-root", link, "--indirect"}
	if _, err := run.Output(ctx, f.Run, run.Command{Name: "nix-store", Args: args}); err != nil {
		return fmt.Errorf("protect %s from garbage collection: %w", storePath, err)
	}
	return nil
}

// task frames work with its first and last event, and its error with the pin's name.
func (f Fetcher) task(src Source, first string, work func(say func(string)) error) error {
	e := progress.Event{Task: "fetch " + src.Name, Host: src.Host, State: progress.Started, Text: first}
	f.Progress.Send(e)
	say := func(text string) {
		e.State, e.Text = progress.Running, text
		f.Progress.Send(e)
	}
	if err := work(say); err != nil {
		err = fmt.Errorf("fetch %s: %w", src.Key(), err)
		e.State, e.Text, e.Err = progress.Failed, "", err
		f.Progress.Send(e)
		return err
	}
	e.State, e.Text = progress.Done, ""
	f.Progress.Send(e)
	return nil
}

// locate fills in everything but the hash.
func (f Fetcher) locate(ctx context.Context, src Source, spec Spec, say func(string)) (Locked, error) {
	l := Locked{Spec: spec.Text}
	switch spec.Kind {
	case Path:
		l.Path = spec.In(f.Dir)
	case URL:
		l.URL, l.Rev = spec.Text, revIn(spec.Text)
	case Ref:
		l.Rev = spec.commit()
		if l.Rev == "" {
			say(fmt.Sprintf("looking up %s in %s", spec.Text, src.Repository))
			var err error
			if l.Rev, err = f.lookUp(ctx, src, spec); err != nil {
				return l, err
			}
		}
		l.URL = src.archive(l.Rev)
	}
	return l, nil
}

var revForm = regexp.MustCompile(`(?:^|[^0-9A-Za-z])([0-9a-f]{40})(?:[^0-9A-Za-z]|$)`)

// revIn finds a commit id in a URL, as the archive URLs of GitHub and GitLab have it.
func revIn(url string) string {
	if m := revForm.FindStringSubmatch(url); m != nil {
		return m[1]
	}
	return ""
}

// lookUp asks the repository which commit a branch or tag stands for.
func (f Fetcher) lookUp(ctx context.Context, src Source, spec Spec) (string, error) {
	args := []string{"ls-remote", "--", src.Repository}
	for _, name := range fullNames(spec.Text) {
		args = append(args, name, name+"^{}")
	}
	out, err := run.Output(ctx, f.Run, run.Command{Name: "git", Args: args, Env: []string{"GIT_TERMINAL_PROMPT=0"}})
	if missing, ok := errors.AsType[*run.MissingError](err); ok {
		missing.Hint = "install git, or pin a whole commit id (40 digits) or the URL of an archive, which need no git"
	}
	if err != nil {
		return "", fmt.Errorf("look up %s in %s: %w", spec.Text, src.Repository, err)
	}
	return choose(src, spec, out)
}

func fullNames(ref string) []string {
	if strings.HasPrefix(ref, "refs/") {
		return []string{ref}
	}
	return []string{"refs/heads/" + ref, "refs/tags/" + ref}
}

// choose reads lines of "COMMIT<tab>NAME". A pattern of ls-remote also matches the end of longer names, hence the exact comparison;
// an annotated tag is followed by the commit it stands for, under the name with ^{} behind it.
func choose(src Source, spec Spec, listing []byte) (string, error) {
	commits := make(map[string]string)
	for line := range strings.Lines(string(listing)) {
		if rev, name, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok && len(rev) == 40 && isHex(rev) {
			commits[name] = rev
		}
	}
	var found []string
	for _, name := range fullNames(spec.Text) {
		rev := commits[name+"^{}"]
		if rev == "" {
			rev = commits[name]
		}
		if rev != "" {
			found = append(found, rev)
		}
	}
	switch {
	case len(found) == 0:
		return "", notFound(src, spec)
	case len(found) == 2 && found[0] != found[1]:
		return "", &SpecError{
			Text: spec.Text, Why: "it is a branch and a tag with different contents",
			Way: fmt.Sprintf("write refs/heads/%s or refs/tags/%s", spec.Text, spec.Text),
		}
	}
	return found[0], nil
}

func notFound(src Source, spec Spec) error {
	e := &SpecError{
		Text: spec.Text, Why: fmt.Sprintf("%s has no such branch or tag", src.Repository),
		Way: fmt.Sprintf("correct it in versions.json; git ls-remote %s lists what there is", src.Repository),
	}
	if spec.shortened() {
		e.Way = "if it is a commit, write all 40 digits of its id"
	}
	return e
}

// store brings the content of l.URL or l.Path into the store and fills in hash and store path.
func (f Fetcher) store(ctx context.Context, src Source, l Locked) (Locked, error) {
	var err error
	if l.URL != "" {
		l.StorePath, err = f.download(ctx, src, l.URL)
	} else {
		l.StorePath, err = f.add(ctx, src, l.Path)
	}
	if err != nil {
		return l, err
	}
	if l.NarHash, err = f.narHash(ctx, l.StorePath); err != nil {
		return l, err
	}
	if err := l.Check(); err != nil {
		return l, fmt.Errorf("%s: %w", l.origin(), err)
	}
	return l, nil
}

// download unpacks an archive into the store; a single top folder is stripped.
func (f Fetcher) download(ctx context.Context, src Source, url string) (string, error) {
	out, err := f.nix(ctx, src, run.Command{
		Name: "nix-prefetch-url",
		Args: []string{"--unpack", "--print-path", "--name", storeName, url},
	})
	if err != nil {
		return "", err
	}
	lines := strings.Fields(string(out))
	if len(lines) != 2 || !looksStored(lines[1]) {
		return "", fmt.Errorf("nix-prefetch-url %s: unexpected output %q", url, out)
	}
	return lines[1], nil
}

// addFolder copies a folder into the store. The .git of a checkout is left out: it changes with every git command, and an archive
// does not have it either.
const addFolder = `{ folder }: builtins.path { path = /. + folder; name = "` + storeName + `"; filter = file: _: baseNameOf file != ".git"; }`

func (f Fetcher) add(ctx context.Context, src Source, folder string) (string, error) {
	real, err := realFolder(folder)
	if err != nil {
		return "", err
	}
	if f.stored(ctx, real) {
		return real, nil
	}
	f.Progress.Send(progress.Event{Task: "fetch " + src.Name, Host: src.Host, State: progress.Running, Text: "copying " + folder + " into the store"})
	out, err := f.nix(ctx, src, run.Command{
		Name: "nix-instantiate",
		Args: []string{"--eval", "--strict", "--json", "--read-write-mode", "--argstr", "folder", real, "-E", addFolder},
	})
	if err != nil {
		return "", fmt.Errorf("copy %s into the store: %w", folder, err)
	}
	var stored string
	if err := json.Unmarshal(bytes.TrimSpace(out), &stored); err != nil {
		return "", fmt.Errorf("copy %s into the store: read answer: %w", folder, err)
	}
	return stored, nil
}

// realFolder follows links: builtins.path would store a link itself.
func realFolder(folder string) (string, error) {
	real, err := filepath.EvalSymlinks(folder)
	if errors.Is(err, fs.ErrNotExist) { // of a path, the system's error names only the first part that is missing
		return "", &SpecError{Text: folder, Why: "there is no such folder", Way: "correct the path in versions.json; one that starts with ./ or ../ begins at the workspace", Err: err}
	}
	if err != nil {
		return "", fmt.Errorf("pinned folder: %w", err)
	}
	st, err := os.Stat(real)
	if err != nil {
		return "", fmt.Errorf("pinned folder: %w", err)
	}
	if !st.IsDir() {
		return "", &SpecError{Text: folder, Why: "it is not a folder", Way: "name the unpacked folder, or write an archive as file:///path"}
	}
	return real, nil
}

// stored reports whether folder already is a pin's store path, so that hundreds of megabytes need not be copied onto themselves.
func (f Fetcher) stored(ctx context.Context, folder string) bool {
	if !looksStored(folder) {
		return false
	}
	hash, err := f.narHash(ctx, folder)
	if err != nil {
		return false // not a store path, or not a valid one: copy it
	}
	want, err := StorePath(path.Dir(folder), hash)
	return err == nil && want == folder
}

func (f Fetcher) narHash(ctx context.Context, storePath string) (string, error) {
	out, err := run.Output(ctx, f.Run, run.Command{Name: "nix-store", Args: []string{"--query", "--hash", storePath}})
	if err != nil {
		return "", fmt.Errorf("hash of %s: %w", storePath, err)
	}
	return sriFrom32(strings.TrimSpace(string(out)))
}

// fits looks whether the tree is what the pin is for.
func (f Fetcher) fits(src Source, l Locked) error {
	_, err := os.Stat(filepath.Join(l.StorePath, src.Marker))
	if errors.Is(err, os.ErrNotExist) {
		return &TreeError{Pin: src.Key(), Spec: l.Spec, Path: l.StorePath, Marker: src.Marker}
	}
	if err != nil {
		return fmt.Errorf("look into the fetched tree: %w", err)
	}
	return nil
}

// nix runs a nix program with its machine-readable log, turns that into progress, and puts readable text back into the error.
func (f Fetcher) nix(ctx context.Context, src Source, c run.Command) ([]byte, error) {
	log := &nixLog{sink: f.Progress, last: progress.Event{Task: "fetch " + src.Name, Host: src.Host, State: progress.Running}}
	c.Args = append([]string{"--log-format", "internal-json"}, c.Args...)
	c.Stderr = log
	out, err := run.Output(ctx, f.Run, c)
	if failed, ok := errors.AsType[*run.Error](err); ok {
		failed.Stderr = log.messages()
	}
	return out, err
}
