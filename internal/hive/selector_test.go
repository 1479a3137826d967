package hive

import (
	"strings"
	"testing"
)

func TestASelectorFitsWhatItSaysAndNothingElse(t *testing.T) {
	disk := Device{
		Serial: "S64DNX0T", WWN: "0x5002538e40a1b2c3", Bytes: 500_107_862_016,
		Links: []string{"/dev/disk/by-id/nvme-Samsung_SSD_980_S64DNX0T", "/dev/disk/by-path/pci-0000:01:00.0-nvme-1"},
	}
	for name, c := range map[string]struct {
		selector Selector
		fits     bool
	}{
		"nothing said":          {Selector{}, false},
		"serial":                {Selector{Serial: "S64DNX0T"}, true},
		"part of a serial":      {Selector{Serial: "S64"}, false},
		"other case":            {Selector{Serial: "s64dnx0t"}, false},
		"wwn":                   {Selector{WWN: "0x5002538e40a1b2c3"}, true},
		"wwn without 0x":        {Selector{WWN: "5002538E40A1B2C3"}, true},
		"wwn with naa":          {Selector{WWN: "naa.5002538e40a1b2c3"}, true},
		"other wwn":             {Selector{WWN: "5002538e40a1b2c4"}, false},
		"by-id":                 {Selector{ByID: "nvme-Samsung_*"}, true},
		"by-id, whole name":     {Selector{ByID: "nvme-Samsung_SSD_980_S64DNX0T"}, true},
		"by-id, part":           {Selector{ByID: "nvme-Samsung"}, false},
		"by-path does not fit":  {Selector{ByID: "pci-*"}, false},
		"broken pattern":        {Selector{ByID: "nvme-[*"}, false},
		"about the size":        {Selector{Size: "500G"}, true},
		"a tenth below":         {Selector{Size: "550G"}, true},
		"too large":             {Selector{Size: "1T"}, false},
		"binary":                {Selector{Size: "465Gi"}, true},
		"between":               {Selector{Size: "400G-1.5T"}, true},
		"not between":           {Selector{Size: "400G-500G"}, false},
		"broken size":           {Selector{Size: "500"}, false},
		"all of it":             {Selector{Serial: "S64DNX0T", Size: "500G", ByID: "nvme-*"}, true},
		"one of it is not true": {Selector{Serial: "S64DNX0T", Size: "500G", ByID: "ata-*"}, false},
	} {
		if got := c.selector.Fits(disk); got != c.fits {
			t.Errorf("%s: %+v fits: %v", name, c.selector, got)
		}
	}
	if (Selector{WWN: "0x"}).Fits(Device{}) || (Selector{Serial: "x"}).Fits(Device{}) {
		t.Error("a disk without serial and wwn fits")
	}
}

func TestSizesAreReadExactly(t *testing.T) {
	for text, want := range map[string][2]int64{
		"500G":      {450e9, 550e9},
		"1.92T":     {1_728e9, 2_112e9},
		"512Gi":     {512<<30 - 512<<30/10, 512<<30 + 512<<30/10},
		"1K-2K":     {1000, 2000},
		"4T - 6TB":  {4e12, 6e12},
		"1Pi-1Pi":   {1 << 50, 1 << 50},
		"0.5G-0.5G": {5e8, 5e8},
	} {
		least, most, err := Selector{Size: text}.Bytes()
		if err != nil || least != want[0] || most != want[1] {
			t.Errorf("%s: %d to %d, %v; want %v", text, least, most, err, want)
		}
	}
	for _, text := range []string{"", "G", "500", "-500G", "500G-", "500X", "5e3G", "1/2T", "0G", "600G-500G", "9999999P", "500g", "1..2G", "5 00G"} {
		if least, most, err := (Selector{Size: text}).Bytes(); err == nil {
			t.Errorf("%q is %d to %d", text, least, most)
		}
	}
}

func FuzzSizes(f *testing.F) {
	for _, seed := range []string{"500G", "1.92T-2Ti", "", "-", "1..G", "99999999999999999999P", "\u00bdT"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		least, most, err := Selector{Size: text}.Bytes()
		if err == nil && (least <= 0 || most < least) {
			t.Errorf("%q is %d to %d", text, least, most)
		}
		if err != nil && strings.Contains(err.Error(), "%!") {
			t.Error(err)
		}
	})
}

func TestTheAliasOfADiskStaysInItsFolder(t *testing.T) {
	if got := DiskAlias("main"); got != "/run/nixos-staged-hive/disk/main" {
		t.Errorf("alias %s", got) // nix/modules/partitioning.nix has the same
	}
}
