package blockdev

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"nixos-staged-hive/internal/hive"
)

// entry is a device as lsblk -J -b -O writes it. Keys it does not know stay at their zero value, which also is what lsblk's null means.
type entry struct {
	KName      text    `json:"kname"`
	Number     text    `json:"maj:min"`
	Type       text    `json:"type"`
	Size       number  `json:"size"`
	LogSec     number  `json:"log-sec"`
	Model      text    `json:"model"`
	Serial     text    `json:"serial"`
	WWN        text    `json:"wwn"`
	Transport  text    `json:"tran"`
	Removable  boolean `json:"rm"`
	Hotplug    boolean `json:"hotplug"`
	ReadOnly   boolean `json:"ro"`
	PTType     text    `json:"pttype"`
	PTUUID     text    `json:"ptuuid"`
	FSType     text    `json:"fstype"`
	Label      text    `json:"label"`
	UUID       text    `json:"uuid"`
	PartLabel  text    `json:"partlabel"`
	PartType   text    `json:"parttype"`
	PartUUID   text    `json:"partuuid"`
	Mountpoint text    `json:"mountpoint"`
	Mounts     []text  `json:"mountpoints"` // since 2.37
	Children   []entry `json:"children"`
}

// Parse reads what `lsblk -J -b -O` and the survey of [List] wrote.
func Parse(lsblk, survey []byte) ([]hive.Device, error) {
	var list struct {
		Devices []entry `json:"blockdevices"`
	}
	if len(bytes.TrimSpace(lsblk)) == 0 { // some versions say nothing where there is no device
		return nil, nil
	}
	// A label may be anything; one bad one must not hide all disks.
	if err := json.Unmarshal(bytes.ToValidUTF8(lsblk, []byte("\uFFFD")), &list); err != nil {
		return nil, fmt.Errorf("read what lsblk says: %w", err)
	}
	seen := parseSurvey(survey)
	devices := make([]hive.Device, 0, len(list.Devices))
	for _, e := range list.Devices {
		devices = append(devices, e.device(seen, hive.Device{}))
	}
	return devices, nil
}

func (e entry) device(seen surveyed, parent hive.Device) hive.Device {
	d := hive.Device{
		// /dev/cciss/c0d0 is cciss!c0d0 in /sys, which is where some versions of lsblk take it from
		Path: "/dev/" + strings.ReplaceAll(string(e.KName), "!", "/"), Number: string(e.Number), Kind: string(e.Type),
		Bytes: int64(e.Size), Sector: int64(e.LogSec),
		Model: string(e.Model), Serial: string(e.Serial), WWN: string(e.WWN), Transport: string(e.Transport),
		Removable: bool(e.Removable), Hotplug: bool(e.Hotplug), ReadOnly: bool(e.ReadOnly),
		Content: string(e.FSType), Label: string(e.Label), ContentID: string(e.UUID),
		PartLabel: string(e.PartLabel), PartType: strings.ToLower(string(e.PartType)), PartID: strings.ToLower(string(e.PartUUID)),
		Mounts: e.mounts(),
	}
	if d.Kind != "part" { // of a partition lsblk tells the table that it is in
		d.Table, d.TableID = string(e.PTType), strings.ToLower(string(e.PTUUID))
	}
	place := seen.parts[d.Number]
	d.PartNum, d.Start = place.number, place.start
	d.Links, d.Drivers = seen.ranked(d), seen.drivers[d.Number]
	if d.Transport == "" {
		d.Transport = transport(d, parent)
	}
	for _, c := range e.Children {
		d.Children = append(d.Children, c.device(seen, d))
	}
	return d
}

// transport fills in what lsblk leaves empty: it names none for MMC and, before 2.39, for virtio, and none for what lies on a disk.
func transport(d, parent hive.Device) string {
	switch {
	case d.Kind == "part":
		return parent.Transport
	case strings.HasPrefix(d.Path, "/dev/mmcblk"):
		return "mmc"
	case strings.HasPrefix(d.Path, "/dev/vd"):
		return "virtio"
	}
	return ""
}

func (e entry) mounts() []string {
	var mounts []string
	for _, m := range append(slices.Clone(e.Mounts), e.Mountpoint) {
		if m != "" && !slices.Contains(mounts, string(m)) {
			mounts = append(mounts, string(m))
		}
	}
	return mounts
}

// text is a string, or null. Whoever makes a stick decides on its model, serial and label: what would steer a terminal is left out.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	s, err := scalar(b)
	if err != nil {
		return err
	}
	*t = text(strings.TrimSpace(strings.Map(shown, s)))
	return nil
}

func shown(r rune) rune {
	if unicode.IsGraphic(r) {
		return r
	}
	return -1
}

// number is a number, also as a string (before 2.33), or null.
type number int64

func (n *number) UnmarshalJSON(b []byte) error {
	s, err := scalar(b)
	if err != nil || s == "" {
		return err
	}
	v, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil {
		return fmt.Errorf("a number: %w", err)
	}
	*n = number(v)
	return nil
}

// boolean is true or false, also as "0" or "1" (before 2.33), or null.
type boolean bool

func (v *boolean) UnmarshalJSON(b []byte) error {
	s, err := scalar(b)
	*v = s == "1" || s == "true"
	return err
}

// scalar gives a JSON value as text: of a string what it stands for, of others how they are written, of null nothing.
func scalar(b []byte) (string, error) {
	if string(b) == "null" {
		return "", nil
	}
	if len(b) == 0 || b[0] != '"' {
		return string(b), nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return "", fmt.Errorf("a string: %w", err)
	}
	return s, nil
}
