package disk_test

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nixos-staged-hive/internal/testbed/disk"
	"nixos-staged-hive/internal/testbed/need"
)

// The kernel and blkid are the judges of our tables.
func TestTheKernelSeesThePartitions(t *testing.T) {
	parts := []disk.Part{{Label: "boot ä", Kind: disk.ESP, Size: 16 << 20}, {Label: "root"}}
	for _, tt := range []struct {
		name string
		spec disk.Spec
		want string
	}{
		{"gpt", disk.Spec{Table: disk.GPT, Parts: parts}, "gpt"},
		{"gpt with large sectors", disk.Spec{Table: disk.GPT, Parts: parts, Sector: 4096}, "gpt"},
		{"mbr", disk.Spec{Table: disk.MBR, Parts: parts}, "dos"},
		{"read-only gpt", disk.Spec{Table: disk.GPT, Parts: parts, ReadOnly: true}, "gpt"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := disk.New(t, tt.spec)
			if got := probe(t, d.Path, "PTTYPE"); got != tt.want {
				t.Errorf("table is %q, want %q", got, tt.want)
			}
			if got := sysfs(t, d.Part(t, 1), "size"); got != "32768" { // of 512 bytes, whatever the sectors are
				t.Errorf("the first partition has %s sectors, want 32768", got)
			}
			if got := sysfs(t, d.Part(t, 2), "size"); got != "94208" { // 64 MiB without 16 and the two at the ends
				t.Errorf("the second partition has %s sectors, want 94208", got)
			}
			if tt.want == "gpt" {
				if got := probe(t, d.Part(t, 1), "PART_ENTRY_NAME"); got != "boot ä" {
					t.Errorf("label %q", got)
				}
				if got := probe(t, d.Part(t, 1), "PART_ENTRY_TYPE"); got != "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" {
					t.Errorf("type %q", got)
				}
			}
			if got, want := sysfs(t, d.Path, "ro") == "1", tt.spec.ReadOnly; got != want {
				t.Errorf("read-only %v, want %v", got, want)
			}
		})
	}
}

func TestBothEndsOfAGPTAreGood(t *testing.T) {
	need.Program(t, "sgdisk")
	d := disk.New(t, disk.Spec{Table: disk.GPT, Parts: []disk.Part{{Label: "a", Size: 3 << 20}, {Label: "b", Kind: disk.LVM}}})
	out, err := exec.Command("sgdisk", "--verify", d.Path).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "No problems found") {
		t.Errorf("sgdisk: %v\n%s", err, out)
	}
}

func TestABlankDiskIsBlankAndCanBeWritten(t *testing.T) {
	d := disk.New(t, disk.Spec{Size: 8 << 20})
	if got := probe(t, d.Path, "PTTYPE"); got != "" {
		t.Errorf("a blank disk has a table: %s", got)
	}
	f, err := os.OpenFile(d.Path, os.O_RDWR|unix.O_EXCL, 0) // as a program that wants it for itself
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("here"), 4096); err != nil {
		t.Error(err)
	}
	if err := f.Sync(); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	d.Rescan(t)
	text, err := os.ReadFile(d.Backing)
	if err != nil || string(text[4096:4100]) != "here" {
		t.Errorf("not in the backing file: %v", err)
	}
	d.Detach(t)
	if attached(t, d) {
		t.Errorf("%s is still attached", d.Path)
	}
}

func TestTablesThatDoNotFitAreRefused(t *testing.T) {
	for _, s := range []disk.Spec{
		{Table: disk.GPT, Parts: []disk.Part{{Size: 1 << 40}}},
		{Parts: []disk.Part{{}}},
		{Table: disk.MBR, Parts: make([]disk.Part, 5)},
		{Table: disk.GPT, Parts: []disk.Part{{Label: strings.Repeat("x", 37)}}},
	} {
		if err := disk.Write(s); err == nil {
			t.Errorf("%+v was accepted", s)
		}
	}
}

const childVariable = "STAGED_HIVE_TEST_DISK_CHILD"

// A killed test leaves its disk mounted; the next one takes it back.
func TestAKilledRunLeavesNoDisk(t *testing.T) {
	mkfs := need.Program(t, "mkfs.ext4")
	if os.Getenv(childVariable) != "" {
		d := disk.New(t, disk.Spec{})
		if out, err := exec.Command(mkfs, "-q", d.Path).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		point := os.Getenv(childVariable)
		if err := unix.Mount(d.Path, point, "ext4", 0, ""); err != nil {
			t.Fatal(err)
		}
		report(t, map[string]string{"path": d.Path, "backing": d.Backing})
		select {}
	}
	disk.New(t, disk.Spec{}) // skips where there are no disks
	point := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^TestAKilledRunLeavesNoDisk$")
	child.Env = append(os.Environ(), childVariable+"="+point)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Process.Kill() })
	var left map[string]string
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || json.Unmarshal([]byte(line), &left) != nil {
		t.Fatalf("child: %v %q", err, line)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	d := &disk.Disk{Path: left["path"], Backing: left["backing"]}
	if !attached(t, d) || !mounted(t, point) {
		t.Fatal("the child's disk was gone before anybody took it back: the test proves nothing")
	}
	disk.New(t, disk.Spec{})
	if mounted(t, point) {
		t.Error("still mounted")
	}
	if attached(t, d) {
		t.Error("still attached")
	}
	if _, err := os.Stat(filepath.Dir(left["backing"])); err == nil {
		t.Error("the backing file is still there")
	}
}

func report(t *testing.T, v any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stdout.Write(append(text, '\n')); err != nil {
		t.Fatal(err)
	}
}

func attached(t *testing.T, d *disk.Disk) bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(d.Path), "loop", "backing_file"))
	return err == nil && strings.HasPrefix(string(text), d.Backing)
}

func mounted(t *testing.T, point string) bool {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(table), " "+point+" ")
}

// probe asks blkid, which fails for a value that is not there.
func probe(t *testing.T, path, tag string) string {
	t.Helper()
	out, _ := exec.Command(need.Program(t, "blkid"), "-p", "-o", "value", "-s", tag, path).Output()
	return strings.TrimSpace(string(out))
}

func sysfs(t *testing.T, path, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/sys/class/block", filepath.Base(path), name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}
