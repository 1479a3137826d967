package hive

import (
	"regexp"
	"testing"
)

func TestDiskGUIDIsAVersion5UUIDAndTellsHostsAndDisksApart(t *testing.T) {
	shape := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]string{}
	for _, pair := range [][2]string{{"web", "main"}, {"web", "data"}, {"db", "main"}, {"webmain", ""}, {"", "webmain"}, {`a" "b`, "c"}, {"a", `b" "c`}} {
		id := DiskGUID(pair[0], pair[1])
		if !shape.MatchString(id) {
			t.Errorf("DiskGUID(%q, %q) = %s, which is no UUID of version 5", pair[0], pair[1], id)
		}
		if other, twice := seen[id]; twice {
			t.Errorf("DiskGUID(%q, %q) is that of %s", pair[0], pair[1], other)
		}
		seen[id] = pair[0] + "/" + pair[1]
		installing := InstallingGUID(pair[0], pair[1])
		if _, twice := seen[installing]; twice || !shape.MatchString(installing) {
			t.Errorf("InstallingGUID(%q, %q) = %s, which is no UUID of its own", pair[0], pair[1], installing)
		}
	}
	// disks in the field carry it: it must never change
	if got, want := DiskGUID("web", "main"), "f787225a-4ead-50a5-adcd-bb77bcc4cf51"; got != want {
		t.Errorf("DiskGUID(web, main) = %s, want %s", got, want)
	}
}

func TestPlanHashChangesWithThePlan(t *testing.T) {
	host := Host{Name: "web", Users: []User{{Name: "ada", HasPassword: true}}, Deployer: Deployer{Name: "ada"}}
	plan := PlanOf(host)
	if !plan.Deployer.HasPassword {
		t.Error("the deployer's password is not in the plan")
	}
	first, err := plan.Hash()
	if err != nil {
		t.Fatal(err)
	}
	plan.Storage.Disks = []Disk{{Name: "main", Selector: Selector{Serial: "S1"}}}
	second, err := plan.Hash()
	if err != nil {
		t.Fatal(err)
	}
	if first == second || len(first) != 64 {
		t.Errorf("hashes %q and %q", first, second)
	}
}
