package blockdev

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"nixos-staged-hive/internal/hive"
)

const gib = 1 << 30

// TestJudge is the table of what is refused, and why. The whole sentences are in testdata/*.judged.
func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		sample, path string
		bytes        int64
		want         string // kinds in order, one that can be overridden with a question mark
	}{
		{"desktop-2.40", "/dev/sdc", gib, ""},
		{"desktop-2.40", "/dev/sdc", 40 * gib, "too small"},
		{"desktop-2.40", "/dev/sdc1", 1, "partition"},
		{"desktop-2.40", "/dev/sdd", gib, "mounted"},
		{"desktop-2.40", "/dev/sdd1", gib, "partition, mounted"},
		{"desktop-2.40", "/dev/sde", gib, "read-only"},
		{"desktop-2.40", "/dev/sde", 8 * gib, "read-only, too small"},
		{"desktop-2.40", "/dev/sdf", gib, "too large?"},
		{"desktop-2.40", "/dev/sdg", gib, "encrypted?"},
		{"desktop-2.40", "/dev/sdh", gib, ""},
		{"desktop-2.40", "/dev/sdi", gib, "member?, fixed?"},
		{"desktop-2.40", "/dev/sda", gib, "in use, system, fixed?, too large?"},
		{"desktop-2.40", "/dev/sdj", gib, "in use, system, fixed?"},
		{"desktop-2.40", "/dev/dm-7", gib, "virtual, system"},
		{"desktop-2.40", "/dev/md127", gib, "virtual, system"},
		{"desktop-2.40", "/dev/nvme0n1", gib, "system, in use, in use, system, system, in use, swap, fixed?"},
		{"desktop-2.40", "/dev/nvme0n1p1", gib, "partition, too small, system"},
		{"desktop-2.40", "/dev/dm-0", gib, "virtual, in use, system, system, in use, swap"},
		{"desktop-2.40", "/dev/dm-2", gib, "virtual, swap"},
		{"desktop-2.40", "/dev/nvme1n1", gib, "mounted, fixed?"},
		{"desktop-2.40", "/dev/nvme2n1", gib, "in use, fixed?"},
		{"desktop-2.40", "/dev/cciss/c0d0", gib, "member?, fixed?"},
		{"desktop-2.40", "/dev/sr0", 1, "virtual"},
		{"desktop-2.40", "/dev/zram0", gib, "virtual, swap"},
		{"desktop-2.40", "/dev/loop0", 1, "loop?, read-only, mounted"},
		{"desktop-2.40", "/dev/loop5", gib, "loop?"},
		{"desktop-2.40", "/dev/mmcblk0", gib, ""},
		{"desktop-2.40", "/dev/mmcblk1", gib, "fixed?"},
		{"desktop-2.40", "/dev/mmcblk1boot0", gib, "read-only, too small, fixed?"},
		{"desktop-2.40", "/dev/nbd0", gib, "fixed?"},
		{"laptop-2.37", "/dev/sda", gib, "system, system, fixed?"},
		{"laptop-2.37", "/dev/vda", gib, "fixed?"},
		{"old-2.32", "/dev/sda", gib, "mounted"},
		{"guest-2.38", "/dev/vda", 1, "in use, mounted, fixed?"},
		{"guest-2.38", "/dev/vdb", 1, "encrypted?, fixed?"},
		{"guest-2.38", "/dev/sda", 1, "in use, fixed?"},
		{"guest-2.38", "/dev/sde", 1, "member?, fixed?"},
		{"guest-2.38", "/dev/sdf", 1, "in use, in use, swap, fixed?"},
		{"guest-2.38", "/dev/nvme1n1", 1, "in use, fixed?"},
		{"guest-2.38", "/dev/sdd", 1, ""},
	} {
		t.Run(fmt.Sprintf("%s %s %d", tt.sample, tt.path, tt.bytes), func(t *testing.T) {
			devices := sample(t, tt.sample)
			if got := kinds(Judge(devices, at(t, devices, tt.path).Number, tt.bytes)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func kinds(reasons []Reason) string {
	var words []string
	for _, r := range reasons {
		word := string(r.Kind)
		if r.Override {
			word += "?"
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

func TestJudgeSaysItInSentences(t *testing.T) {
	for _, name := range samples {
		devices := sample(t, name)
		var text strings.Builder
		seen := map[string]bool{}
		for _, top := range devices {
			top.Walk(func(d hive.Device) {
				if seen[d.Number] {
					return
				}
				seen[d.Number] = true
				fmt.Fprintf(&text, "%s, confirmed by %q:\n", d.Path, Word(d))
				for _, r := range Judge(devices, d.Number, gib) {
					fmt.Fprintf(&text, "  it %s%s\n", r.Text, map[bool]string{true: " (can be confirmed)"}[r.Override])
				}
			})
		}
		golden(t, name+".judged", text.String())
	}
}

func TestJudgeOfWhatIsNotListed(t *testing.T) {
	if got := kinds(Judge(sample(t, "desktop-2.40"), "8:240", 1)); got != "empty" {
		t.Errorf("got %q", got)
	}
}

func TestRefuseIsOverriddenByTheSerialAlone(t *testing.T) {
	devices := sample(t, "desktop-2.40")
	for _, tt := range []struct {
		path, typed string
		refused     bool
	}{
		{"/dev/sdc", "", false},
		{"/dev/sdf", "", true},
		{"/dev/sdf", "yes", true},
		{"/dev/sdf", "/dev/sdf", true},
		{"/dev/sdf", "sdf", true}, // it has a serial
		{"/dev/sdf", "575833314139", false},
		{"/dev/nbd0", "nbd0", false},
		{"/dev/sda", "ZFN12345", true}, // in use
		{"/dev/sdd", "60A44C3FACC93140A9A7", true},
	} {
		d := at(t, devices, tt.path)
		err := Refuse(d, Judge(devices, d.Number, gib), tt.typed)
		if refusal := (*RefusedError)(nil); errors.As(err, &refusal) != tt.refused {
			t.Errorf("%s with %q: %v", tt.path, tt.typed, err)
		}
	}
	d := at(t, devices, "/dev/sdd")
	err := Refuse(d, Judge(devices, d.Number, gib), "")
	want := "refused to overwrite /dev/sdd: it holds /dev/sdd1, which is mounted on /run/media/ada/KINGSTON"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
