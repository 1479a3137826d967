package hosts_test

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nixos-staged-hive/internal/testbed/hosts"
	"nixos-staged-hive/internal/testbed/remains"
)

// retransmitted counts the TCP segments that a host had to send again.
func retransmitted(t *testing.T, h *hosts.Host) int {
	t.Helper()
	n, err := strconv.Atoi(h.Sh(t, "nstat -asz TcpRetransSegs | awk '/TcpRetransSegs/ { print int($2) }'"))
	if err != nil {
		t.Error(err)
	}
	return n
}

// machine is what a lab could leave on the machine: mounts, network interfaces and named namespaces, control groups, and all
// files of labs.
func machine(t *testing.T) map[string][]string {
	t.Helper()
	cache, err := hosts.Cache()
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]string{
		"mount":   lines(t, "/proc/self/mounts"),
		"link":    glob(t, "/sys/class/net/*"),
		"netns":   glob(t, "/run/netns/*"),
		"cgroup":  slices.Concat(glob(t, "/sys/fs/cgroup/nixos-staged-hive-*"), glob(t, "/sys/fs/cgroup/unified/nixos-staged-hive-*")),
		"loop":    glob(t, "/sys/block/loop*/loop/backing_file"),
		"kernel":  {read(t, "/proc/sys/kernel/panic"), read(t, "/proc/sys/kernel/hostname"), read(t, "/proc/sys/net/ipv4/ip_forward")},
		"machine": {hash(t, "/etc/resolv.conf"), hash(t, "/etc/hosts"), hash(t, "/etc/ssl/certs/ca-certificates.crt")},
		"disks":   glob(t, filepath.Join(cache, "disks", "*")),
		"run":     glob(t, filepath.Join(remains.Register, "*")),
	}
}

// difference leaves out the files of live labs where the first has none of them to compare.
func difference(before, after map[string][]string) string {
	var out strings.Builder
	for what, list := range after {
		if what == "disks" || what == "run" || what == "cgroup" { // of live labs, and of those of other packages
			continue
		}
		for _, one := range list {
			if !slices.Contains(before[what], one) {
				fmt.Fprintf(&out, "%s: %s\n", what, one)
			}
		}
	}
	return out.String()
}

const childVariable = "STAGED_HIVE_TEST_HOSTS_CHILD"

// TestAKilledRunLeavesNothing kills a test run that has three hosts up, looks what there is then, and what is left after the next
// Up. Other test packages may have labs meanwhile, so what is compared is that of the child's own.
func TestAKilledRunLeavesNothing(t *testing.T) {
	net := hosts.Net{Hosts: []hosts.Spec{
		{Name: "h1", Suite: hosts.Bookworm}, {Name: "h2", Suite: hosts.Bookworm, Space: 32 << 20}, {Name: "h3", Suite: hosts.Trixie, Systemd: true},
	}}
	if os.Getenv(childVariable) != "" {
		hosts.Up(t, net)
		fmt.Println(os.Getpid())
		select {}
	}
	hosts.Prepare(t, hosts.Bookworm, hosts.Trixie) // the child would not tell why it skips
	before := machine(t)
	child := exec.Command(os.Args[0], "-test.run=^TestAKilledRunLeavesNothing$")
	child.Env = append(os.Environ(), childVariable+"=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if pid, convErr := strconv.Atoi(strings.TrimSpace(line)); err != nil || convErr != nil || pid != child.Process.Pid {
		t.Fatalf("child: %v %q", err, line)
	}
	started := descendants(t, child.Process.Pid)
	if len(started) < 8 {
		t.Fatalf("only %d processes of three hosts", len(started))
	}
	during := machine(t)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()

	hosts.Up(t, hosts.Net{Hosts: []hosts.Spec{{Name: "next", Suite: hosts.Bookworm}}})
	after := machine(t)
	for _, what := range []string{"run", "disks", "cgroup"} {
		made := 0
		for _, one := range during[what] {
			if slices.Contains(before[what], one) {
				continue
			}
			made++
			if slices.Contains(after[what], one) {
				t.Errorf("left: %s %s", what, one)
			}
		}
		if made == 0 {
			t.Errorf("the child had no %s: the test proves nothing", what)
		}
	}
	for pid, start := range started {
		if now, alive := startTime(pid); alive && now == start {
			t.Errorf("process %d lives", pid)
		}
	}
	if got := difference(before, after); got != "" {
		t.Errorf("left:\n%s", got)
	}
}

// descendants gives the processes below one, with their start times, in all namespaces.
func descendants(t *testing.T, root int) map[int]string {
	t.Helper()
	parent := map[int]int{}
	for _, dir := range glob(t, "/proc/[0-9]*") {
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		pid, _ := strconv.Atoi(filepath.Base(dir))
		parent[pid], _ = strconv.Atoi(fields[1])
	}
	found := map[int]string{}
	for pid := range parent {
		for up := parent[pid]; up != 0; up = parent[up] {
			if up == root {
				found[pid], _ = startTime(pid)
				break
			}
		}
	}
	return found
}

// startTime tells processes of one number apart. One that has ended and only waits to be noticed by process 1 does not live.
func startTime(pid int) (string, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", false
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	return fields[19], fields[0] != "Z"
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// lines leaves out the mounts that other tests make meanwhile in their temporary folders.
func lines(t *testing.T, path string) []string {
	t.Helper()
	foreign := regexp.MustCompile(` /tmp/Test[^ ]*`)
	return slices.DeleteFunc(strings.Split(read(t, path), "\n"), func(line string) bool { return foreign.MatchString(line) })
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(text)
}

func hash(t *testing.T, path string) string {
	t.Helper()
	what, err := os.Stat(path)
	if os.IsNotExist(err) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(path, what.Size(), what.ModTime(), what.Mode()&fs.ModePerm)
}
