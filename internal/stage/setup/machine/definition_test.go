package machine

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/testbed/need"
)

// TestDefinitionsAreHosts evaluates what is written for a machine as the program does: on the miniatures, and on real NixOS and disko.
func TestDefinitionsAreHosts(t *testing.T) {
	need.Store(t)
	for name, trees := range map[string]func(testing.TB) (string, string){"miniature": need.Mini, "real NixOS": need.Tree} {
		t.Run(name, func(t *testing.T) {
			nixpkgs, disko := trees(t)
			for _, firmware := range []string{"uefi", "bios"} {
				t.Run(firmware, func(t *testing.T) {
					m := laptop()
					m.Firmware = firmware
					d := m.Devices[2]
					d.Links = []string{`/dev/disk/by-id/nvme-Odd_"${builtins.abort 'x'}"_\S64`}
					definition, err := Definition(m, d)
					if err != nil {
						t.Fatal(err)
					}
					judge(t, evaluate(t, nixpkgs, disko, definition, HardwareConfiguration(m)), m, d)
				})
			}
		})
	}
}

// judge holds the facts of a host against the machine it was written for.
func judge(t *testing.T, h hive.Host, m hive.Machine, d hive.Device) {
	t.Helper()
	if len(h.Storage.Disks) != 1 || h.Storage.Disks[0].Device != d.Best() || h.System != m.Platform {
		t.Fatalf("the disks are %+v, the platform %s", h.Storage.Disks, h.System)
	}
	if !slices.Equal(h.Setup.Match.Serials, []string{m.Product.Serial}) || !slices.Equal(h.Setup.Match.UUIDs, []string{m.Product.UUID}) ||
		!slices.Equal(h.Setup.Match.MACs, []string{"aa:bb:cc:00:00:01"}) {
		t.Errorf("it is recognised by %+v", h.Setup.Match)
	}
	if len(h.Network.Interfaces) != 1 || h.Network.Interfaces[0].MAC != "aa:bb:cc:00:00:01" || h.Network.Interfaces[0].DHCP != "yes" {
		t.Errorf("the network is %+v", h.Network.Interfaces)
	}
	if m.Firmware == "bios" && (h.Boot.Loader != "grub" || !slices.Equal(h.Boot.GrubDevices, []string{d.Best()})) {
		t.Errorf("it starts by %+v", h.Boot)
	}
	p := hive.PlanOf(h)
	for _, problem := range Fits(p, m) {
		t.Errorf("does not fit: %v", problem)
	}
	m.Devices[2] = d
	targets, problems := Resolve(p, hive.Fresh, m)
	if len(problems) > 0 || len(targets) != 1 || targets[0].Device.Path != d.Path {
		t.Errorf("resolved to %+v, %v", targets, problems)
	}
	for _, problem := range hive.Check(hive.Hive{Hosts: []hive.Host{h}}, hive.CheckInput{}) {
		if problem.Severity == hive.Error && !strings.Contains(problem.Option, "admin") && !strings.Contains(problem.Option, "openssh") {
			t.Errorf("check says: %v", problem)
		}
	}
}

// evaluate gives the facts of a host, see nix/eval.nix.
func evaluate(t *testing.T, nixpkgs, disko, definition, hardware string) hive.Host {
	t.Helper()
	workspace := t.TempDir()
	for name, text := range map[string]string{
		"host.nix":       "{ imports = [ ./definition.nix ./hardware-configuration.nix ]; system.stateVersion = \"24.05\"; }\n",
		"definition.nix": definition, "hardware-configuration.nix": hardware,
	} {
		if err := os.WriteFile(filepath.Join(workspace, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	request, err := json.Marshal(map[string]any{
		"workspace": workspace, "generated": filepath.Join(workspace, "generated"), "nixpkgs": nixpkgs, "disko": disko, "diskoVersion": "1.8.2",
		"mark": "MARK", "catch": false, "deep": true, "select": []string{"alpha"},
		"hosts": map[string]any{"alpha": map[string]any{"definition": "host.nix", "without": []string{}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(workspace, "request.json")
	if err := os.WriteFile(file, request, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("nix-instantiate", "--eval", "--strict", "--json", "--readonly-mode",
		filepath.Join(need.Module(t), "nix", "eval.nix"), "--argstr", "request", file)
	cmd.Env = append(os.Environ(), "GC_INITIAL_HEAP_SIZE=1G") // Nix 2.8 crashes in a collection now and then
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("nix-instantiate: %v\n%s\n%s", err, out, definition)
	}
	_, line, _ := strings.Cut(string(out), "trace: MARK ")
	line, _, _ = strings.Cut(line, "\n")
	var told struct{ Facts hive.Host }
	if err := json.Unmarshal([]byte(line), &told); err != nil {
		t.Fatalf("read the facts: %v\n%s", err, out)
	}
	if len(told.Facts.Assertions) > 0 {
		t.Errorf("NixOS says: %q", told.Facts.Assertions)
	}
	return told.Facts
}

func TestDefinitionOfABoardIsNone(t *testing.T) {
	m := laptop()
	m.Firmware = "board"
	if text, err := Definition(m, m.Devices[2]); err == nil {
		t.Errorf("got %s", text)
	}
}

func TestDefinitionOfAMachineThatSaysNothing(t *testing.T) {
	m := hive.Machine{Firmware: "bios", Platform: "x86_64-linux"}
	text, err := Definition(m, hive.Device{Path: "/dev/vda", Kind: "disk", Bytes: 1e9})
	if err != nil || !strings.Contains(text, `device = "/dev/vda";`) || !strings.HasPrefix(text, "# A machine with 1.0 GB\n{\n") || strings.Contains(text, "hive.network") {
		t.Errorf("got %s, %v", text, err)
	}
}

// TestTextIsTextForNix has Nix read what was written.
func TestTextIsTextForNix(t *testing.T) {
	need.Store(t)
	values := []string{
		"plain", `"`, `\`, `\\"`, "${x}", "$${x}", "$", "$$", `\${x}`, "''", "a\nb", "a\tb\r", "ä€", `"; in builtins.abort "x`, "#", "*/", "/*", "",
	}
	var sets []string
	for _, v := range values {
		sets = append(sets, "{ "+attribute("x"+v)+" = "+text(v)+"; }")
	}
	out, err := exec.Command("nix-instantiate", "--eval", "--strict", "--json", "-E", "[ "+strings.Join(sets, " ")+" ]").Output()
	if err != nil {
		t.Fatalf("nix-instantiate: %v", err)
	}
	var got []map[string]string
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	for i, v := range values {
		if got[i]["x"+v] != v {
			t.Errorf("%q became %q", v, got[i])
		}
	}
	for name, want := range map[string]string{"main": "main", "a-b'c_1": "a-b'c_1", "1a": `"1a"`, "if": `"if"`, "": `""`, "a.b": `"a.b"`} {
		if got := attribute(name); got != want {
			t.Errorf("%q as an attribute is %s", name, got)
		}
	}
}

func TestTablesAndLines(t *testing.T) {
	m := laptop()
	m.Devices[1].Table, m.Devices[1].Children = "gpt", []hive.Device{
		{Path: "/dev/sdb1", Content: "vfat", PartLabel: "EFI system partition"}, {Path: "/dev/sdb2", Content: "ntfs", Label: "Windows"},
	}
	tables := Tables(m)
	var disks []string
	for _, row := range tables[1].Rows {
		disks = append(disks, strings.Join(row, "|"))
	}
	want := []string{
		"/dev/sda|Flash|STICK|16 GB|usb|this medium, iso9660",
		`/dev/sdb|Acme b|WD-1|500 GB|sata|vfat "EFI system partition", ntfs "Windows"`,
		"/dev/nvme0n1|Samsung SSD 980|S64DNX0T|1.0 TB|nvme|nothing",
		"/dev/sr0|||700 MB||nothing",
	}
	if !slices.Equal(disks, want) {
		t.Errorf("the disks are\n%s", strings.Join(disks, "\n"))
	}
	for _, table := range tables {
		for _, row := range table.Rows {
			if len(row) != len(table.Columns) {
				t.Errorf("%s: a row of %d cells below %d columns", table.Title, len(row), len(table.Columns))
			}
		}
	}
	var lines []string
	for _, l := range Lines(m) {
		lines = append(lines, l.Text)
		if l.About == "" {
			t.Errorf("%s is about nothing", l.Text)
		}
	}
	for _, want := range []string{
		`hive.partitioning.disks.main.serial = "S64DNX0T";`, `hive.partitioning.format.disk.main.device = "/dev/disk/by-id/ata-Acme_WD-1";`,
		`hive.network.match.mac = "aa:bb:cc:00:00:01";`, `hive.network.interface = "enp3s0";`, `hive.setup.match.serials = [ "PF2ABCDE" ];`,
		`boot.initrd.availableKernelModules = [ "ahci" "nvme" "sd_mod" "vmd" ];`,
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("%s is not in\n%s", want, strings.Join(lines, "\n"))
		}
	}
	if slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "STICK") }) {
		t.Error("the medium is offered as a disk to install to")
	}
}
