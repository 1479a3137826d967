package cli_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"testing"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/hosts"
	"nixos-staged-hive/internal/testbed/hosts/system"
)

// statusJSON is what `hive status --json` prints.
type statusJSON struct {
	Schema int
	Time   time.Time
	Hosts  []struct {
		Host, Condition, Why, Hint, Declared string
		Remarks                              []string
		State                                *hive.HostState
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	f := newField(t, map[string]string{"free": `hive.deployment.tags = [ "web" ];`, "asks": asking},
		hosts.Spec{Name: "free", Suite: hosts.Trixie, Systemd: true, NoPassword: true},
		hosts.Spec{Name: "asks", Suite: hosts.Bookworm, Systemd: true},
		hosts.Spec{Name: "off", Suite: hosts.Trixie})
	f.at("hive", "status", "free").exits(0).says("HOST", "free", "unknown", "24.05-base", "1 (of 1)", "nothing was built", "hive build")
	t.Run("watched", func(t *testing.T) { f.watches(t) })
	t.Run("of what is declared", func(t *testing.T) { f.evaluates(t) })
	f.lab.Host(t, "off").Link.Down(t)
	f.lab.Host(t, "free").Sh(t, "chmod 700 /boot")
	f.lab.Host(t, "asks").Sh(t, "chmod 700 /boot; systemd-run --unit=broken --quiet --wait false; true")
	f.built("free", f.base)
	next := f.system(system.Spec{Name: "next"})
	f.built("asks", next)
	f.at("hive", "status").exits(3).says("in sync", "outdated", "unreachable", "failed: broken.service", "hive deploy asks")
	var s statusJSON
	f.at("hive", "status", "@web", "asks", "--json").exits(0).into(&s)
	if len(s.Hosts) != 2 || s.Hosts[1].State.Default != f.base || s.Hosts[0].State.Default != "" || s.Hosts[0].Declared != next || s.Schema != hive.Schema {
		t.Errorf("who may look at the boot loader's files: %+v", s)
	}
	f.lab.Host(t, "free").Sh(t, "rm /run/current-system; ln -s "+f.system(system.Spec{Name: "strange"}, "free")+" /run/current-system")
	f.at("hive", "status", "free").exits(3).says("drifted", "another system than its profile", "hive diff free")
	f.at("hive", "status", "nosuch").exits(2).says("nosuch")
}

// evaluates: with --evaluate it is about what the definitions say, whatever was built.
func (f *field) evaluates(t *testing.T) {
	f.colmena("0.4.0")
	f.built("free", f.base)
	f.at("hive", "status", "free").exits(0).says("in sync")
	f.at("hive", "status", "free", "--evaluate").exits(0).says("outdated")
	var s statusJSON
	f.at("hive", "status", "free", "--evaluate", "--json").exits(0).into(&s)
	if want := f.declared("free"); len(s.Hosts) != 1 || s.Hosts[0].Declared != want {
		t.Errorf("%+v, want %s", s, want)
	}
}

// watches: it goes on until it is interrupted, and that is no failure of it.
func (f *field) watches(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- f.lab.Controller.Run(ctx, run.Command{
			Name: filepath.Join(f.bin, program), Args: []string{"-p", f.dir, "hive", "status", "free", "--json", "--watch", "--every", "50ms"}, Env: []string{noWait}, Stdout: writer,
		})
		_ = writer.Close()
	}()
	lines := bufio.NewScanner(reader)
	lines.Buffer(nil, 1<<20)
	for i := range 3 {
		var s statusJSON
		if !lines.Scan() {
			t.Fatalf("look %d: no line: %v", i, lines.Err())
		}
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil || len(s.Hosts) != 1 || s.Hosts[0].Condition != "unknown" {
			t.Errorf("look %d: %s, %v", i, lines.Text(), err)
		}
	}
	cancel()
	for lines.Scan() { // what it was about to say
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}
