package nix

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/need"
	"nixos-staged-hive/internal/testbed/sshd"
)

// far is a host with a store of its own, in a folder.
func far(t *testing.T) (to Copy, s *sshd.Server, store string) {
	t.Helper()
	store = t.TempDir()
	t.Cleanup(func() { writable(store) })
	s = sshd.Start(t, sshd.Options{Environment: map[string]string{"NIX_REMOTE": store, "NIX_CONFIG": "build-users-group ="}})
	options := fmt.Sprintf("-F none -i %s -p %d -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null", s.Identity, s.Port)
	return Copy{To: s.User + "@" + s.Address, Environment: []string{"NIX_SSHOPTS=" + options}}, s, store
}

// writable lets the folder of a store be removed: Nix takes the rights to write away.
func writable(store string) {
	_ = filepath.WalkDir(store, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return nil // what cannot be read fails when the folder is removed
	})
}

func TestAClosureIsCopiedAndItsPathsAreCounted(t *testing.T) {
	c := client(t)
	built, err := c.Build(t.Context(), sampleBuild(t, "user"))
	if err != nil {
		t.Fatal(err)
	}
	to, _, store := far(t)
	var events []progress.Event
	to.Paths, to.Host, to.Progress = []string{built[0].Output}, "web1", func(e progress.Event) { events = append(events, e) }
	if err := c.Copy(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	closure, err := c.Closure(t.Context(), built[0].Output)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range closure {
		if _, err := os.Stat(filepath.Join(store, p.Path)); err != nil {
			t.Error(err)
		}
	}
	first, last := events[0], events[len(events)-1]
	if first.State != progress.Started || last.State != progress.Done || last.Task != "copy" || last.Host != "web1" {
		t.Errorf("events begin with %+v and end with %+v", first, last)
	}
	if last.Done != last.Total || last.Total < int64(len(closure)) {
		t.Errorf("counted %d of %d, for %d paths", last.Done, last.Total, len(closure))
	}
	if !slices.ContainsFunc(events, func(e progress.Event) bool { return e.Text == "good" }) {
		t.Errorf("events %+v", events)
	}
	events = nil
	if err := c.Copy(t.Context(), to); err != nil || len(events) == 0 || events[len(events)-1].Done != 0 {
		t.Errorf("again: %+v, %v", events, err)
	}
}

func TestACopyThatFailsSaysWhy(t *testing.T) {
	c := client(t)
	built, err := c.Build(t.Context(), sampleBuild(t, "good"))
	if err != nil {
		t.Fatal(err)
	}
	to, s, _ := far(t)
	to.Paths = []string{built[0].Output}
	s.Close()
	err = c.Copy(t.Context(), to)
	failed, ok := errors.AsType[*CopyError](err)
	if !ok || !strings.Contains(failed.Text, "Connection refused") || failed.Message == "" || strings.Contains(err.Error(), "@nix") {
		t.Errorf("got %v", err)
	}
	to.Paths = []string{"/nix/store/00000000000000000000000000000000-nothing"}
	s.Open()
	if _, ok := errors.AsType[*CopyError](c.Copy(t.Context(), to)); !ok {
		t.Error("a path that is not there was copied")
	}
	for _, host := range []string{"", "-oProxyCommand=x"} {
		to.To = host
		if err := c.Copy(t.Context(), to); err == nil || !strings.Contains(err.Error(), "no host") {
			t.Errorf("to %q: %v", host, err)
		}
	}
}

func TestACopyGoesOnWhereItWasCut(t *testing.T) {
	c := client(t)
	b := sampleBuild(t, "large")
	built, err := c.Build(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	to, s, store := far(t)
	cable := sshd.NewCable(t, s.Address, s.Port)
	mended := to.Environment
	to.Environment = []string{strings.Replace(mended[0], fmt.Sprintf("-p %d", s.Port), fmt.Sprintf("-p %d -o ServerAliveInterval=1", cable.Port), 1)}
	to.Paths = []string{built[0].Output}
	cable.CutAfter(700_000)
	if _, ok := errors.AsType[*CopyError](c.Copy(t.Context(), to)); !ok {
		t.Fatal("it went through a cut")
	}
	if _, err := os.Stat(filepath.Join(store, built[0].Output)); err == nil {
		if err := c.Run.Run(t.Context(), run.Command{Name: "nix-store", Args: []string{"--check-validity", built[0].Output}, Env: []string{"NIX_REMOTE=" + store}}); err == nil {
			t.Error("half a path counts as whole")
		}
	}
	s.Cut() // a host that noticed
	to.Environment = mended
	if err := c.Copy(t.Context(), to); err != nil {
		t.Error(err)
	}
}

func TestACopyEndsWithItsContext(t *testing.T) {
	c := client(t)
	built, err := c.Build(t.Context(), sampleBuild(t, "good"))
	if err != nil {
		t.Fatal(err)
	}
	to, s, _ := far(t)
	s.Pause()
	to.Paths = []string{built[0].Output}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	to.Progress = func(e progress.Event) {
		if e.State == progress.Started {
			cancel(enough)
		}
	}
	if err := c.Copy(ctx, to); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
}

func TestAClosureHasEachPathOnceAndSizes(t *testing.T) {
	c := client(t)
	built, err := c.Build(t.Context(), sampleBuild(t, "user", "good"))
	if err != nil {
		t.Fatal(err)
	}
	closure, err := c.Closure(t.Context(), built[0].Output, built[1].Output)
	if err != nil || len(closure) != 2 || closure[0].Path != built[1].Output || closure[1].Path != built[0].Output {
		t.Fatalf("closure %v, %v", closure, err)
	}
	out, err := run.Output(t.Context(), c.Run, run.Command{Name: "nix-store", Args: []string{"--dump", built[0].Output}})
	if err != nil || closure[1].Bytes != int64(len(out)) {
		t.Errorf("%d bytes, the archive has %d, %v", closure[1].Bytes, len(out), err)
	}
	if _, err := c.Closure(t.Context(), "/nix/store/00000000000000000000000000000000-nothing"); err == nil {
		t.Error("the closure of nothing")
	}
	if none, err := c.Closure(t.Context()); err != nil || none != nil {
		t.Errorf("without paths: %v, %v", none, err)
	}
}

func TestCopiesOfOldNixCountPaths(t *testing.T) {
	log := `@nix {"action":"start","id":1,"level":3,"text":"copying 2 paths","type":103}
@nix {"action":"start","fields":["/nix/store/mfkbprndacdw6l7n045kl01mw0idd1s2-good","local","ssh://x"],"id":2,"level":3,"text":"copying path","type":100}
@nix {"action":"stop","id":2}
@nix {"action":"start","fields":["/nix/store/mcxrz3sq2xxgpnypsx34x8b9asvkycyj-user","local","ssh://x"],"id":3,"level":3,"text":"copying path","type":100}
`
	var said []string
	l := newCopyLog(Copy{Progress: func(e progress.Event) { said = append(said, fmt.Sprintf("%s %d/%d", e.Text, e.Done, e.Total)) }})
	for line := range strings.Lines(log) {
		l.line(strings.TrimSuffix(line, "\n"))
	}
	if want := []string{" 0/2", "good 0/2", "good 1/2", "user 1/2"}; !slices.Equal(said, want) {
		t.Errorf("said %q", said)
	}
}

func TestTheStoreIsNeeded(t *testing.T) {
	need.Program(t, "nix-store")
	t.Setenv("PATH", t.TempDir())
	c := Client{Run: run.Local{}}
	for name, err := range map[string]error{
		"copy":    c.Copy(t.Context(), Copy{To: "x", Paths: []string{"/nix/store/x"}}),
		"closure": func() error { _, err := c.Closure(t.Context(), "/nix/store/x"); return err }(),
	} {
		if missing, ok := errors.AsType[*run.MissingError](err); !ok || missing.Hint == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
