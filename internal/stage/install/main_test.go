package install

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/secret"
	"nixos-staged-hive/internal/testbed/need"
	"nixos-staged-hive/internal/testbed/sshd"
)

// TestMain lets this program stand in for `setup` on the machines of the tests.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "setup" {
		os.Exit(standIn(os.Getenv("STANDIN"), os.Args[1:]))
	}
	os.Exit(m.Run())
}

// standIn follows the contract of `setup` on files in dir, which the test writes and reads.
func standIn(dir string, args []string) int {
	file := func(name string) string { return filepath.Join(dir, name) }
	flag := func(name string) string {
		if i := slices.Index(args, name); i >= 0 && i+1 < len(args) {
			return args[i+1]
		}
		return ""
	}
	note(file("calls"), strings.Join(args, " ")+"\n")
	switch args[0] {
	case "manifest", "hardware", "status":
		text, err := os.ReadFile(file(args[0] + ".json"))
		if err != nil {
			return 1
		}
		os.Stdout.Write(text)
		return 0
	case "plan":
		i := intentNow(file, hive.Mode(flag("--mode")))
		json.NewEncoder(os.Stdout).Encode(i)
		return refusedCode(i)
	case "secrets":
		b, err := secret.DecodeBundle(os.Stdin)
		if err != nil {
			return 1
		}
		text, _ := b.Encode()
		os.WriteFile(file("secrets"), text, 0o600)
		return 0
	case "run":
		await(file("may-begin"))
		if there(file("running")) {
			fmt.Fprintln(os.Stderr, "an installation goes on already")
			return 1
		}
		if i := intentNow(file, hive.Mode(flag("--mode"))); i.Refused() {
			json.NewEncoder(os.Stdout).Encode(i)
			return refusedCode(i)
		}
		note(file("runs"), strings.Join(args, " ")+"\n")
		os.WriteFile(file("running"), nil, 0o600)
		await(file("may-answer"))
		return 0
	case "follow":
		after, _ := strconv.Atoi(flag("--after"))
		return follow(file, after)
	}
	return 2
}

func note(file, text string) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		f.WriteString(text)
		f.Close()
	}
}

func there(file string) bool { _, err := os.Stat(file); return err == nil }

// await waits for a file, for a minute at most: so that no stand-in outlives its test for long.
func await(file string) {
	for range 3000 {
		if there(file) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func refusedCode(i hive.Intent) int {
	if i.Refused() {
		return 4
	}
	return 0
}

func intentNow(file func(string) string, mode hive.Mode) hive.Intent {
	var i hive.Intent
	text, _ := os.ReadFile(file("intent.json"))
	json.Unmarshal(text, &i)
	i.Mode, i.Running = mode, there(file("running"))
	if there(file("wants-secrets")) && !there(file("secrets")) {
		i.Problems = append(i.Problems, hive.Problem{Severity: hive.Error, Message: "the hash of the password is missing", Way: "install over SSH"})
	}
	for _, e := range eventsIn(file("events")) {
		if !i.Running || e.State == "finished" {
			i.After = e.Number
		}
	}
	return i
}

func eventsIn(file string) []hive.SetupEvent {
	text, _ := os.ReadFile(file)
	var all []hive.SetupEvent
	for line := range strings.Lines(string(text)) {
		var e hive.SetupEvent
		if strings.HasSuffix(line, "\n") && json.Unmarshal([]byte(line), &e) == nil {
			all = append(all, e)
		}
	}
	return all
}

func follow(file func(string) string, after int) int {
	begun := false
	for range 6000 {
		running := there(file("running"))
		for _, e := range eventsIn(file("events")) {
			if e.Number <= after {
				continue
			}
			after, begun = e.Number, true
			text, _ := json.Marshal(e)
			fmt.Printf("%s\n", text)
			if e.State == "finished" {
				return 0
			}
		}
		if begun && !running {
			fmt.Fprintln(os.Stderr, "the installation ended without saying so: setup was killed")
			return 1
		}
		time.Sleep(10 * time.Millisecond)
	}
	return 1
}

// machine is a real sshd with the stand-in behind it, on a medium with web1.
type machine struct {
	*sshd.Server
	t   testing.TB
	dir string

	mu     sync.Mutex
	number int
}

const (
	toplevel = "/nix/store/00000000000000000000000000000000-nixos-system-web1"
	bootID   = "11111111-2222-4333-8444-555555555555"
)

func newMachine(t testing.TB) *machine {
	t.Helper()
	need.Program(t, "ssh")
	dir, err := os.MkdirTemp("", "standin-")
	check(t, err)
	t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
	m := &machine{t: t, dir: dir}
	m.programs()
	m.Server = sshd.Start(t, sshd.Options{Environment: map[string]string{
		"PATH": filepath.Join(dir, "bin") + ":" + os.Getenv("PATH"), "STANDIN": dir,
		"HOME": dir, // and no .bashrc, which bash reads for sshd
	}})
	m.write("may-begin", "")
	m.write("may-answer", "")
	m.medium(web1())
	m.write("status.json", "null\n")
	return m
}

// programs are what a machine would answer with if it were one.
func (m *machine) programs() {
	m.t.Helper()
	exe, err := os.Executable()
	check(m.t, err)
	m.write("bin/nothing", "")
	check(m.t, os.Symlink(exe, m.file("bin/setup")))
	for name, text := range map[string]string{
		"cat": `f="$STANDIN/root$1"; if [ $# = 1 ] && [ -f "$f" ]; then exec /bin/cat "$f"; fi
case "$1" in /etc/nixos-staged-hive/*) echo "no such file" >&2; exit 1;; esac
exec /bin/cat "$@"`,
		"readlink":  `exec cat /run/current-system`,
		"systemctl": `case "$1" in is-system-running) /bin/cat "$STANDIN/state"; grep -qx running "$STANDIN/state";; *) /bin/cat "$STANDIN/failed";; esac`,
	} {
		m.write("bin/"+name, "#!/bin/sh\n"+text+"\n")
		check(m.t, os.Chmod(m.file("bin/"+name), 0o755))
	}
}

// medium makes the machine run from a medium with this host.
func (m *machine) medium(h hive.Host) {
	m.t.Helper()
	plan := hive.PlanOf(h)
	hash, err := plan.Hash()
	check(m.t, err)
	own := hive.MediumHost{Name: h.Name, Plan: plan, PlanHash: hash, Toplevel: toplevel}
	m.json("manifest.json", hive.Manifest{Schema: hive.ManifestSchema, Volume: "HIVE", Hosts: []hive.MediumHost{own}})
	m.json("intent.json", hive.Intent{
		Schema: hive.ManifestSchema, Host: h.Name, PlanHash: hash, Toplevel: toplevel, Why: "named", Confirm: []string{"S3RIAL"},
	})
	m.system(bootID, h.Name+"-setup", "/nix/store/x-medium", "running")
	m.write("root"+hive.ManifestFile, "{}")
}

// installed makes it run what was installed.
func (m *machine) installed(state string) {
	m.t.Helper()
	check(m.t, errors.Join(os.Remove(m.file("root"+hive.ManifestFile)), os.Remove(m.file("bin/setup"))))
	m.system("99999999-2222-4333-8444-555555555555", "www", toplevel, state)
}

func (m *machine) system(id, name, system, state string) {
	m.t.Helper()
	m.write("root"+bootIDFile, id+"\n")
	m.write("root/proc/sys/kernel/hostname", name+"\n")
	m.write("root/run/current-system", system+"\n")
	m.write("state", state+"\n")
	m.write("failed", "")
}

func (m *machine) file(name string) string { return filepath.Join(m.dir, name) }

// write replaces a file in one step: programs of the machine read it at any time.
func (m *machine) write(name, text string) {
	m.t.Helper()
	file := m.file(name)
	check(m.t, os.MkdirAll(filepath.Dir(file), 0o755))
	check(m.t, os.WriteFile(file+".new", []byte(text), 0o600))
	check(m.t, os.Rename(file+".new", file))
}

func (m *machine) json(name string, value any) {
	m.t.Helper()
	text, err := json.Marshal(value)
	check(m.t, err)
	m.write(name, string(text)+"\n")
}

func (m *machine) remove(name string) {
	m.t.Helper()
	if err := os.Remove(m.file(name)); !errors.Is(err, fs.ErrNotExist) {
		check(m.t, err)
	}
}

func (m *machine) read(name string) string {
	text, err := os.ReadFile(m.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	check(m.t, err)
	return string(text)
}

// tell adds an event of the installation.
func (m *machine) tell(e hive.SetupEvent) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.number++
	e.Number = m.number
	text, err := json.Marshal(e)
	check(m.t, err)
	note(m.file("events"), string(text)+"\n")
}

// finish ends the installation as setup does: the last event, then the lock.
func (m *machine) finish(e hive.SetupEvent) {
	e.State = "finished"
	m.tell(e)
	m.remove("running")
}

// begun waits until the installation is begun.
func (m *machine) begun() {
	m.until("the installation is begun", func() bool { return there(m.file("running")) })
}

// until gives up after a minute.
func (m *machine) until(what string, ok func() bool) {
	m.t.Helper()
	for range 3000 {
		if ok() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	m.t.Errorf("never: %s", what)
}

func (m *machine) login() Login {
	return Login{
		Local: run.Local{}, User: m.User, IdentityFiles: []string{m.Identity}, ConnectTimeout: 2 * time.Second, KeepAlive: time.Second,
	}
}

func (m *machine) address() string { return m.Address + ":" + strconv.Itoa(m.Port) }

// quest is for a machine whose key is known, at its own address.
func (m *machine) quest() Quest {
	return Quest{Login: m.login(), Host: web1(), Addresses: []string{m.address()}, HostKey: m.HostKey + " web1"}
}

// reached is the medium, by way of address.
func (m *machine) reached(address string) *Medium {
	m.t.Helper()
	q := m.quest()
	q.Addresses = []string{address}
	medium, err := Reach(m.t.Context(), q)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { check(m.t, medium.Close()) })
	return medium
}

func web1() hive.Host {
	return hive.Host{
		Name: "web1", HostName: "www", System: "x86_64-linux", Deployer: hive.Deployer{Name: "mia"},
		Storage: hive.Storage{Disks: []hive.Disk{{Name: "main", Device: "/dev/sda", Table: "gpt"}}},
		Network: hive.Network{Interfaces: []hive.Interface{{Name: "lan0", MAC: "52:54:00:12:34:56", DHCP: "yes"}}},
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}
