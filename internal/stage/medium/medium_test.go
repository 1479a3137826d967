package medium

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nixos-staged-hive/internal/blockdev"
	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/run"
	"nixos-staged-hive/internal/testbed/disk"
)

func local() run.Runner { return run.Local{} }

func noise(n int) []byte {
	b := make([]byte, n)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(b) // never fails
	return b
}

func contents(t *testing.T, d *disk.Disk) []byte {
	t.Helper()
	b, err := os.ReadFile(d.Backing)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func imageFile(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.iso")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// desk is a computer with what people have plugged in.
func desk(t *testing.T) []hive.Device {
	t.Helper()
	listed := `{"blockdevices":[
	{"kname":"nvme0n1","maj:min":"259:0","type":"disk","size":1000204886016,"model":"Samsung SSD 980","serial":"S5GX","tran":"nvme","pttype":"gpt","children":[
	  {"kname":"nvme0n1p1","maj:min":"259:1","type":"part","size":1000000000000,"fstype":"ext4","label":"root","mountpoints":["/"]}]},
	{"kname":"sda","maj:min":"8:0","type":"disk","size":500107862016,"serial":"WDX","tran":"sata","pttype":"gpt"},
	{"kname":"sdb","maj:min":"8:16","type":"disk","size":31457280000,"serial":"4C53","tran":"usb","rm":true,"fstype":"iso9660","label":"NIXOS_ISO"},
	{"kname":"sdc","maj:min":"8:32","type":"disk","size":15728640000,"serial":"60A4","tran":"usb","rm":true,"pttype":"dos","children":[
	  {"kname":"sdc1","maj:min":"8:33","type":"part","size":15727591424,"fstype":"vfat","label":"KINGSTON","mountpoints":["/media/ada/KINGSTON"]}]},
	{"kname":"sdd","maj:min":"8:48","type":"disk","size":8053063680,"tran":"usb","rm":true},
	{"kname":"sde","maj:min":"8:64","type":"disk","size":1000204886016,"serial":"T5","tran":"usb","hotplug":true,"fstype":"crypto_LUKS"},
	{"kname":"sr0","maj:min":"11:0","type":"rom","size":1073741312,"rm":true},
	{"kname":"loop3","maj:min":"7:3","type":"loop","size":1073741312},
	{"kname":"zram0","maj:min":"252:0","type":"disk","size":8589934592,"mountpoints":["[SWAP]"]}]}`
	devices, err := blockdev.Parse([]byte(listed), nil)
	if err != nil {
		t.Fatal(err)
	}
	return devices
}

func TestCandidatesBeginWithWhatIsMostLikelyMeant(t *testing.T) {
	var text strings.Builder
	for _, c := range judged(desk(t), 1<<30) {
		fmt.Fprintf(&text, "%s %s possible %v, %d against it; holds %s\n", c.Device.Path, c.Word, c.Possible(), len(c.Reasons), strings.Join(c.Contents, "; "))
	}
	want := `/dev/sdd sdd possible true, 0 against it; holds nothing that is known
/dev/sdb 4C53 possible true, 0 against it; holds an image "NIXOS_ISO"
/dev/sde T5 possible true, 1 against it; holds crypto_LUKS
/dev/sda WDX possible true, 1 against it; holds an empty partition table (gpt)
/dev/sdc 60A4 possible false, 1 against it; holds sdc1: 16 GB, vfat "KINGSTON" mounted on /media/ada/KINGSTON
/dev/nvme0n1 S5GX possible false, 2 against it; holds nvme0n1p1: 1.0 TB, ext4 "root" mounted on /
`
	if text.String() != want {
		t.Errorf("got\n%swant\n%s", text.String(), want)
	}
}

func TestCandidatesOfThisMachineLeaveLoopDevicesOut(t *testing.T) {
	d := disk.New(t, disk.Spec{})
	list, err := Candidates(t.Context(), local(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		if c.Device.Path == d.Path {
			t.Errorf("%+v", c)
		}
	}
}

func TestContentsGoDownToWhatIsMounted(t *testing.T) {
	lv := hive.Device{Path: "/dev/dm-1", Content: "ext4", Label: "root", Mounts: []string{"/"}}
	crypt := hive.Device{Path: "/dev/dm-0", Content: "LVM2_member", Children: []hive.Device{lv}}
	d := hive.Device{Table: "gpt", Children: []hive.Device{{Path: "/dev/sda1", Bytes: 5e9, Content: "crypto_LUKS", Children: []hive.Device{crypt}}}}
	got := strings.Join(Contents(d), "\n")
	want := "sda1: 5.0 GB, crypto_LUKS\nLVM2_member\ndm-1: 0 B, ext4 \"root\" mounted on /"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestWriteToADevice(t *testing.T) {
	d := disk.New(t, disk.Spec{Size: 16 << 20})
	content := noise(5 << 20)
	o := Order{Image: imageFile(t, content), Target: d.Path, Verify: true}
	_, err := Room{Runner: local()}.Write(t.Context(), o)
	if refusal := (*blockdev.RefusedError)(nil); !errors.As(err, &refusal) || !refusal.Overridable() {
		t.Fatalf("without a word: %v", err)
	}
	o.Confirm = strings.TrimPrefix(d.Path, "/dev/")
	receipt, err := Room{Runner: local()}.Write(t.Context(), o)
	if err != nil || receipt.Device.Path != d.Path || receipt.Bytes != int64(len(content)) || !receipt.Verified {
		t.Fatalf("got %+v, %v", receipt, err)
	}
	if !bytes.Equal(contents(t, d)[:len(content)], content) {
		t.Error("the image is not on the device")
	}
}

func TestWriteStoppedGivesTheDeviceBack(t *testing.T) {
	d := disk.New(t, disk.Spec{Size: 16 << 20})
	ctx, cancel := context.WithCancel(t.Context())
	o := Order{Image: imageFile(t, noise(14<<20)), Target: d.Path, Confirm: strings.TrimPrefix(d.Path, "/dev/")}
	o.Progress = func(e progress.Event) {
		if e.State == progress.Running {
			cancel()
		}
	}
	_, err := Room{Runner: local()}.Write(ctx, o)
	if unfinished := (*blockdev.UnfinishedError)(nil); !errors.As(err, &unfinished) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if used, err := blockdev.Used(d.Path); used || err != nil {
		t.Errorf("still in use: %v, %v", used, err)
	}
}

func TestWriteToAFile(t *testing.T) {
	content := noise(2 << 20)
	o := Order{Image: imageFile(t, content), Target: filepath.Join(t.TempDir(), "copy.iso"), Verify: true, Replace: []blockdev.Region{{Offset: 0, Bytes: []byte("keys")}}}
	receipt, err := Room{Runner: local()}.Write(t.Context(), o)
	if err != nil || receipt.Device.Path != "" {
		t.Fatalf("got %+v, %v", receipt, err)
	}
	got, err := os.ReadFile(o.Target)
	if err != nil || !bytes.Equal(got[4:], content[4:]) || string(got[:4]) != "keys" {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	_, err = Room{Runner: local()}.Write(t.Context(), o)
	if exists := (*blockdev.ExistsError)(nil); !errors.As(err, &exists) {
		t.Errorf("a second time: %v", err)
	}
}

func TestWriteToADeviceThatIsNotThereMakesNoFile(t *testing.T) {
	_, err := Room{Runner: local()}.Write(t.Context(), Order{Image: imageFile(t, []byte("x")), Target: "/dev/sdz9"})
	if refusal := (*blockdev.RefusedError)(nil); !errors.As(err, &refusal) || refusal.Reasons[0].Kind != blockdev.Missing {
		t.Errorf("got %v", err)
	}
	if _, err := os.Lstat("/dev/sdz9"); err == nil {
		t.Error("it became a file")
	}
}

func TestWriteOfNoImage(t *testing.T) {
	if _, err := (Room{Runner: local()}).Write(t.Context(), Order{Image: "/no/such/image", Target: "/dev/sdz9"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	o := Order{Image: imageFile(t, []byte("x")), Replace: []blockdev.Region{{Offset: 1, Bytes: []byte("y")}}}
	if _, err := (Room{Runner: local()}).Write(t.Context(), o); err == nil {
		t.Error("a region outside of the image was taken")
	}
}
