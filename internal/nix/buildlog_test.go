package nix

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/run"
)

// What Nix 2.8 and 2.34 log for the same build, shortened; 2.26 logs as 2.8 does.
const (
	log28 = `@nix {"action":"msg","level":3,"msg":"these 2 derivations will be built:"}
@nix {"action":"msg","level":3,"msg":"  /nix/store/v2nzccxm2q4qvjhfgx8jjc1w8ryp7l2v-bad.drv"}
@nix {"action":"start","id":570,"level":0,"text":"","type":104}
@nix {"action":"result","fields":[0,1,0,0],"id":570,"type":105}
@nix {"action":"start","fields":["/nix/store/v2nzccxm2q4qvjhfgx8jjc1w8ryp7l2v-bad.drv","",1,1],"id":574,"level":3,"text":"building '/nix/store/v2nzccxm2q4qvjhfgx8jjc1w8ryp7l2v-bad.drv'","type":105}
@nix {"action":"result","fields":["buildPhase"],"id":574,"type":104}
@nix {"action":"result","fields":["\u001b[31mline1\u001b[0m"],"id":574,"type":101}
@nix {"action":"result","fields":[0,2,0,1],"id":570,"type":105}
@nix {"action":"msg","column":null,"file":null,"level":0,"line":null,"msg":"\u001b[31;1merror:\u001b[0m builder for '\u001b[35;1m/nix/store/v2nzccxm2q4qvjhfgx8jjc1w8ryp7l2v-bad.drv\u001b[0m' failed with exit code 3","raw_msg":"builder for '\u001b[35;1m/nix/store/v2nzccxm2q4qvjhfgx8jjc1w8ryp7l2v-bad.drv\u001b[0m' failed with exit code 3"}
@nix {"action":"stop","id":574}
@nix {"action":"msg","column":null,"file":null,"level":0,"line":null,"msg":"\u001b[31;1merror:\u001b[0m \u001b[35;1m1\u001b[0m dependencies of derivation '\u001b[35;1m/nix/store/nxs527xqg90s87p7nv7ls6i5aihh2y9r-onbad.drv\u001b[0m' failed to build","raw_msg":"\u001b[35;1m1\u001b[0m dependencies of derivation '\u001b[35;1m/nix/store/nxs527xqg90s87p7nv7ls6i5aihh2y9r-onbad.drv\u001b[0m' failed to build"}
@nix {"action":"msg","column":null,"file":null,"level":0,"line":null,"msg":"\u001b[31;1merror:\u001b[0m build of \u001b[35;1m'/nix/store/nxs527xqg90s87p7nv7ls6i5aihh2y9r-onbad.drv'\u001b[0m failed","raw_msg":"build of \u001b[35;1m'/nix/store/nxs527xqg90s87p7nv7ls6i5aihh2y9r-onbad.drv'\u001b[0m failed"}
`
	log34 = `@nix {"action":"msg","level":3,"msg":"these 2 derivations will be built:"}
@nix {"action":"start","id":570,"level":0,"parent":0,"text":"","type":104}
@nix {"action":"start","fields":["/nix/store/v2nzccxm2q4qvjhfgx8jjc1w8ryp7l2v-bad.drv","",1,1],"id":574,"level":3,"parent":0,"text":"building '/nix/store/v2nzccxm2q4qvjhfgx8jjc1w8ryp7l2v-bad.drv'","type":105}
@nix {"action":"result","fields":["line1"],"id":574,"type":101}
@nix {"action":"result","fields":[0,2,0,1],"id":570,"type":105}
@nix {"action":"stop","id":574}
@nix {"action":"msg","column":null,"file":null,"level":0,"line":null,"msg":"\u001b[31;1merror:\u001b[0m Cannot build '\u001b[35;1m/nix/store/v2nzccxm2q4qvjhfgx8jjc1w8ryp7l2v-bad.drv\u001b[0m'.\n       Reason: \u001b[31;1mbuilder failed with exit code 3\u001b[0m.\n       Output paths:\n         \u001b[35;1m/nix/store/8421wrhv026s1rph45lxgyvg3npybx5k-bad\u001b[0m","raw_msg":"Cannot build '\u001b[35;1m/nix/store/v2nzccxm2q4qvjhfgx8jjc1w8ryp7l2v-bad.drv\u001b[0m'.\nReason: \u001b[31;1mbuilder failed with exit code 3\u001b[0m.\nOutput paths:\n  \u001b[35;1m/nix/store/8421wrhv026s1rph45lxgyvg3npybx5k-bad\u001b[0m"}
@nix {"action":"msg","column":null,"file":null,"level":0,"line":null,"msg":"\u001b[31;1merror:\u001b[0m Cannot build '\u001b[35;1m/nix/store/nxs527xqg90s87p7nv7ls6i5aihh2y9r-onbad.drv\u001b[0m'.\n       Reason: \u001b[31;1m1 dependency failed\u001b[0m.","raw_msg":"Cannot build '\u001b[35;1m/nix/store/nxs527xqg90s87p7nv7ls6i5aihh2y9r-onbad.drv\u001b[0m'.\nReason: \u001b[31;1m1 dependency failed\u001b[0m.\nOutput paths:\n  \u001b[35;1m/nix/store/ygym85j8m087y3v6yslm7xa6wbxvpryf-onbad\u001b[0m"}
@nix {"action":"msg","column":null,"file":null,"level":0,"line":null,"msg":"","raw_msg":"Cannot build '\u001b[35;1m/nix/store/v2nzccxm2q4qvjhfgx8jjc1w8ryp7l2v-bad.drv\u001b[0m'.\nReason: again."}
@nix {"action":"msg","column":null,"file":null,"level":0,"line":null,"msg":"","raw_msg":""}
`
)

func readLog(b Build, text string) *buildLog {
	l := newBuildLog(b)
	w := &lineWriter{line: l.line}
	_, _ = w.Write([]byte(text)) // never fails
	w.flush()
	return l
}

func TestFailuresAreReadFromTheLogsOfEveryVersion(t *testing.T) {
	const drv = "/nix/store/v2nzccxm2q4qvjhfgx8jjc1w8ryp7l2v-bad.drv"
	for version, c := range map[string]struct{ log, reason string }{
		"2.8":  {log28, "builder failed with exit code 3"},
		"2.34": {log34, "builder failed with exit code 3"},
	} {
		l := readLog(Build{}, c.log)
		if d := cmp.Diff([]Failure{{Derivation: drv, Reason: c.reason}}, l.failures); d != "" {
			t.Errorf("%s:\n%s", version, d)
		}
		if !slices.Equal(l.tails[drv], []string{"line1"}) {
			t.Errorf("%s: log %q", version, l.tails[drv])
		}
		if l.last.Done != 1 || l.last.Total != 2 {
			t.Errorf("%s: %+v", version, l.last)
		}
	}
}

func TestReasonsAreShortAndNameNoStorePathTwice(t *testing.T) {
	const drv = "/nix/store/v2nzccxm2q4qvjhfgx8jjc1w8ryp7l2v-x-1.0.drv"
	for message, want := range map[string]string{
		"builder for '" + drv + "' failed due to signal 9 (Killed);\nlast 1 log lines:\n> x\nFor full logs, run 'nix log'": "builder failed due to signal 9 (Killed)",
		"hash mismatch in fixed-output derivation '" + drv + "':\n         specified: sha256-a=\n            got:    sha256-b=": "hash mismatch in fixed-output derivation x-1.0:\n" +
			"         specified: sha256-a=\n            got:    sha256-b=",
		"a 'aarch64-linux' with features {} is required to build '" + drv + "', but I am a 'x86_64-linux'": "a 'aarch64-linux' with features {} is required to build x-1.0, but I am a 'x86_64-linux'",
		"Cannot build '" + drv + "'.\nReason: required system or feature not available.\nRequired":         "required system or feature not available",
	} {
		if got := reason(message, drv); got != want {
			t.Errorf("%q gives %q", message, got)
		}
	}
}

func TestLinesThatAreNoLogAreMessages(t *testing.T) {
	l := readLog(Build{}, "error: cannot connect to socket at '/nix/x': Connection refused\n@nix {broken\nlast line without end")
	failed := &BuildError{Text: l.messages.text()}
	if got := failed.Error(); !strings.HasPrefix(got, "build: cannot connect to socket") {
		t.Errorf("got %q", got)
	}
	if got := strings.Join(l.messages.head, "|"); !strings.HasSuffix(got, "@nix {broken|last line without end") {
		t.Errorf("messages %q", got)
	}
}

func TestNamesOfStorePaths(t *testing.T) {
	for path, want := range map[string]string{
		"/nix/store/v2nzccxm2q4qvjhfgx8jjc1w8ryp7l2v-linux-6.6.drv": "linux-6.6",
		"/nix/store/v2nzccxm2q4qvjhfgx8jjc1w8ryp7l2v-linux-6.6":     "linux-6.6",
		"/elsewhere/x": "x",
		"":             "",
	} {
		if got := Name(path); got != want {
			t.Errorf("%q is %q", path, got)
		}
	}
}

func TestPlansOfEveryVersionAreRead(t *testing.T) {
	for version, c := range map[string]struct {
		text string
		want Plan
	}{
		"2.8": {
			"this derivation will be built:\n  /nix/store/a.drv\nthese 2 paths will be fetched (1.50 MiB download, 3.00 MiB unpacked):\n  /nix/store/b\n  /nix/store/c\nwarning: something\n  /nix/store/no\n",
			Plan{Build: []string{"/nix/store/a.drv"}, Fetch: []string{"/nix/store/b", "/nix/store/c"}, DownloadBytes: 3 << 19, UnpackedBytes: 3 << 20},
		},
		"2.34": {
			"this path will be fetched (512 B download, 2.0 KiB unpacked):\n  /nix/store/b\ndon't know how to build these paths (may be caused by read-only store access):\n  /nix/store/d\n",
			Plan{Fetch: []string{"/nix/store/b"}, Unknown: []string{"/nix/store/d"}, DownloadBytes: 512, UnpackedBytes: 2048},
		},
	} {
		var p planReader
		for l := range strings.Lines(c.text) {
			p.line(strings.TrimSuffix(l, "\n"))
		}
		if d := cmp.Diff(c.want, p.plan); d != "" {
			t.Errorf("%s:\n%s", version, d)
		}
	}
}

// A real binary cache, over HTTP, has what was built; after it is removed from the store it comes from there.
func TestDownloadsAreTold(t *testing.T) {
	c := client(t)
	b := sampleBuild(t, "good")
	built, err := c.Build(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	cache := t.TempDir()
	for _, words := range [][]string{
		{"nix", "--extra-experimental-features", "nix-command", "copy", "--to", "file://" + cache, built[0].Output},
		{"nix-store", "--delete", built[0].Output},
	} {
		if err := c.Run.Run(t.Context(), run.Command{Name: words[0], Args: words[1:]}); err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewServer(http.FileServer(http.Dir(cache)))
	defer server.Close()
	b.Settings = map[string]string{"substituters": server.URL, "require-sigs": "false", "narinfo-cache-negative-ttl": "0"}
	plan, err := c.Plan(t.Context(), b)
	if err != nil || !slices.Equal(plan.Fetch, []string{built[0].Output}) || len(plan.Build) != 0 {
		t.Errorf("plan %+v, %v", plan, err)
	}
	var events []progress.Event
	b.Progress = func(e progress.Event) {
		if e.Task == "download" {
			events = append(events, e)
		}
	}
	b.Links = map[string]string{"good": filepath.Join(t.TempDir(), "result")}
	if again, err := c.Build(t.Context(), b); err != nil || again[0].Output != built[0].Output {
		t.Fatalf("got %v, %v", again, err)
	}
	if len(events) < 3 {
		t.Fatalf("events %+v", events)
	}
	last := events[len(events)-1]
	if events[0].State != progress.Started || last.State != progress.Done || last.Done == 0 || last.Done != last.Total {
		t.Errorf("events %+v", events)
	}
}

func FuzzBuildLog(f *testing.F) {
	for _, seed := range []string{log28, log34, "@nix {}", "@nix {\"action\":\"result\",\"type\":105,\"fields\":[-1,\"x\",1e99]}", "error: \xff\x1b[1m", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		running := map[string]bool{}
		sink := func(e progress.Event) {
			if e.Done < 0 || e.Total < 0 || e.Done > e.Total && e.Total > 0 {
				t.Errorf("event %+v", e)
			}
			if strings.Contains(e.Text, "\n") {
				t.Errorf("text %q", e.Text)
			}
			switch e.State {
			case progress.Started:
				running[e.Task] = true
			case progress.Done:
				running[e.Task] = false
			}
		}
		l := readLog(Build{Progress: sink}, text)
		l.end(progress.Done, nil)
		if running["download"] {
			t.Error("the download never ends")
		}
		for _, failure := range l.failures {
			if failure.Derivation == "" {
				t.Errorf("failure %+v", failure)
			}
		}
		if (&BuildError{Text: l.messages.text()}).Error() == "" {
			t.Error("an error without a text")
		}
	})
}
