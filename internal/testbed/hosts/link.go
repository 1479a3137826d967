package hosts

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"nixos-staged-hive/internal/run"
)

// Link is the cable between a host and everybody else. Faults add up until Restore, and a reboot of the host does not mend them.
type Link struct {
	lab  *Lab
	host *Host
	port string // the switch's end, in the controller's network
}

// plug makes the cable. The host's end is named by its open namespace, so no name of it is left anywhere.
func (l *Link) plug(ctx context.Context) error {
	return l.lab.Controller.inside(nil, func() error {
		cmd := exec.CommandContext(ctx, "/bin/sh", "-c", "ip link add "+l.port+" type veth peer name eth0 netns /proc/self/fd/3 && "+
			"ip link set "+l.port+" master br0 up")
		cmd.Env = []string{"PATH=" + searchPath}
		cmd.ExtraFiles = []*os.File{l.host.network}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("ip link: %w: %s", err, out)
		}
		return nil
	})
}

// Down pulls the cable: the host sees that its card has no carrier.
func (l *Link) Down(t testing.TB) {
	t.Helper()
	l.switched(t, "ip link set "+l.port+" down")
}

// Up puts the cable back in after Down.
func (l *Link) Up(t testing.TB) {
	t.Helper()
	l.switched(t, "ip link set "+l.port+" up")
}

// CutAfter lets this many bytes more pass, both directions counted together with their IP headers, and then nothing: a switch that
// fails, unseen by either end. Zero cuts at once.
func (l *Link) CutAfter(t testing.TB, bytes int64) {
	t.Helper()
	rule := "drop"
	quota := ""
	if bytes > 0 {
		quota, rule = fmt.Sprintf("quota cut { over %d bytes }", bytes), `quota name "cut" drop`
	}
	l.filter(t, "cut", quota, rule)
}

// CutIn pulls the cable after a while. It returns at once; the end of the test calls it off.
func (l *Link) CutIn(t testing.TB, after time.Duration) {
	t.Helper()
	timer := time.AfterFunc(after, func() { l.Down(t) })
	t.Cleanup(func() { timer.Stop() })
}

// Cut tells whether a CutAfter has begun to drop.
func (l *Link) Cut(t testing.TB) bool {
	t.Helper()
	out := l.switched(t, "nft list table bridge "+l.port+"_cut")
	if !strings.Contains(out, "quota cut") {
		return true
	}
	var over, used int64
	var overUnit, usedUnit string
	_, rest, _ := strings.Cut(out, "over ")
	if _, err := fmt.Sscanf(rest, "%d %s used %d %s", &over, &overUnit, &used, &usedUnit); err != nil {
		return false // nothing was used yet, or not enough to be told
	}
	return inBytes(used, usedUnit) >= inBytes(over, overUnit)
}

func inBytes(n int64, unit string) int64 {
	return n * map[string]int64{"bytes": 1, "kbytes": 1 << 10, "mbytes": 1 << 20}[unit]
}

// Loss drops that many percent of the packets at random, both directions alike.
func (l *Link) Loss(t testing.TB, percent int) {
	t.Helper()
	l.filter(t, "loss", "", fmt.Sprintf("numgen random mod 100 < %d drop", percent))
}

// Rate limits both directions to this many bits a second each.
func (l *Link) Rate(t testing.TB, bits int64) {
	t.Helper()
	// The bucket must hold what passes within one tick of the kernel (100 a second at least), or the rate is not reached.
	limit := fmt.Sprintf("root tbf rate %dbit burst %d latency 50ms", bits, max(32<<10, bits/8/100))
	l.switched(t, "tc qdisc replace dev "+l.port+" "+limit)
	l.atHost(t, "tc qdisc replace dev eth0 "+limit)
}

// Restore mends everything.
func (l *Link) Restore(t testing.TB) {
	t.Helper()
	l.switched(t, fmt.Sprintf(`ip link set %[1]s up
tc qdisc del dev %[1]s root 2>/dev/null
for fault in cut loss; do nft -f - <<<"table bridge %[1]s_$fault; delete table bridge %[1]s_$fault" || exit; done`, l.port))
	l.atHost(t, "tc qdisc del dev eth0 root 2>/dev/null; true")
}

// filter replaces a fault's rule. Packets of other hosts pass the switch; those of the controller begin or end in it.
func (l *Link) filter(t testing.TB, fault, object, rule string) {
	t.Helper()
	l.switched(t, fmt.Sprintf(`nft -f - <<'END'
table bridge %[1]s_%[2]s
delete table bridge %[1]s_%[2]s
table bridge %[1]s_%[2]s {
	%[3]s
	chain fault { %[4]s; }
	chain forward { type filter hook forward priority 0; iifname "%[1]s" jump fault; oifname "%[1]s" jump fault; }
	chain input { type filter hook input priority 0; iifname "%[1]s" jump fault; }
	chain output { type filter hook output priority 0; oifname "%[1]s" jump fault; }
}
END`, l.port, fault, object, rule))
}

// switched runs a script where the switch is.
func (l *Link) switched(t testing.TB, script string) string {
	t.Helper()
	return l.lab.Controller.Sh(t, script)
}

// atHost runs a script in the host's network with the controller's programs: the host may be off.
func (l *Link) atHost(t testing.TB, script string) {
	t.Helper()
	ctx, cancel := patient(t)
	defer cancel()
	err := l.lab.Controller.inside(l.host.network, func() error {
		return run.Local{}.Run(ctx, run.Command{Name: "/bin/sh", Args: []string{"-c", script}, Env: []string{"PATH=" + searchPath}})
	})
	if err != nil {
		t.Errorf("at %s: %v", l.host.Name, err)
	}
}
