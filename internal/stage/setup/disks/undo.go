package disks

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/progress"
)

// Kit is what undoes the wiping of a disk: the bytes of every area that [Site.Wipe] empties, as they were. It brings everything back until the disk
// is formatted; from then on only what was not overwritten.
type Kit struct {
	Schema int    `json:"schema"`
	Host   string `json:"host"`
	Disk   string `json:"disk"` // its name in the plan
	Device string `json:"device"`
	Serial string `json:"serial"`
	WWN    string `json:"wwn"`
	Model  string `json:"model"`
	Bytes  int64  `json:"bytes"`
	Areas  []kept `json:"areas"`

	folder string
}

// kept is an area with where its bytes are.
type kept struct {
	area
	File   string `json:"file"` // gzip, in the folder of the kit
	SHA256 string `json:"sha256"`
}

const (
	kitSchema = 1
	kitFile   = "kit.json"
)

//go:embed undo.txt
var undoText string

//go:embed undo.sh
var undoScript string

// SaveUndo writes a kit for each disk that will be wiped into a folder of its own below dir, before the first write. A disk whose kit is complete
// already keeps that one: after an interruption only the first one knows what was there. A disk with an installation that was interrupted has
// nothing to save.
func (s Site) SaveUndo(ctx context.Context, dir string) error {
	targets := s.doomed()
	devices, err := s.destroyable(ctx, targets)
	if err != nil {
		return err
	}
	if err := s.saveOverview(ctx, dir); err != nil {
		return err
	}
	for i, t := range targets {
		if s.interrupted(t) || saved(dir, t) {
			continue
		}
		s.Events.Send(progress.Event{Task: "save undo kit", Host: s.Plan.Name, State: progress.Running, Text: t.Device.Path})
		if err := s.saveDisk(ctx, dir, t, devices[i]); err != nil {
			return fmt.Errorf("save what is on %s: %w", t.Device.Path, err)
		}
	}
	return nil
}

// saved reports whether there is a complete kit of the very disk.
func saved(dir string, t hive.Target) bool {
	k, err := readKit(filepath.Join(dir, folderName(t.Disk.Name)))
	return err == nil && k.of(t.Device) == ""
}

// of says by what a device is not the kit's.
func (k Kit) of(d hive.Device) string {
	return difference(hive.Device{Number: d.Number, Sector: d.Sector, Serial: k.Serial, WWN: k.WWN, Model: k.Model, Bytes: k.Bytes}, d)
}

// folderName keeps a disk's name within its folder.
func folderName(disk string) string { return "disk-" + strings.ReplaceAll(disk, "/", "_") }

// saveOverview is for people: what the machine looked like.
func (s Site) saveOverview(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, "lsblk.json")); err == nil {
		return nil // of the first run
	}
	for name, c := range map[string][]string{"lsblk.json": {"lsblk", "--json", "--bytes", "--output-all"}, "blkid.txt": {"blkid"}} {
		out, err := s.ask(ctx, c[0], c[1:]...)
		if err != nil && name == "lsblk.json" {
			return fmt.Errorf("save what lsblk says: %w", err)
		} // blkid fails where there is nothing to tell
		if err := writeFile(filepath.Join(dir, name), out, 0o600); err != nil {
			return err
		}
	}
	return errors.Join(writeFile(filepath.Join(dir, "README.txt"), []byte(undoText), 0o600), writeFile(filepath.Join(dir, "restore.sh"), []byte(undoScript), 0o700))
}

func (s Site) saveDisk(ctx context.Context, dir string, t hive.Target, d hive.Device) error {
	areas, err := s.areas(ctx, t.Disk, d)
	if err != nil {
		return err
	}
	folder := filepath.Join(dir, folderName(t.Disk.Name))
	if err := os.RemoveAll(folder); err != nil { // one that was not completed, or of another disk of that name
		return err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	k := Kit{Schema: kitSchema, Host: s.Plan.Name, Disk: t.Disk.Name, Device: d.Path, Serial: d.Serial, WWN: d.WWN, Model: d.Model, Bytes: d.Bytes, folder: folder}
	disk, err := openExclusive(ctx, d.Path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer disk.Close() //nolint:errcheck // only read
	for _, a := range areas {
		saved, err := k.save(disk, a)
		if err != nil {
			return err
		}
		k.Areas = append(k.Areas, saved)
	}
	return k.write()
}

func (k Kit) save(disk io.ReaderAt, a area) (kept, error) {
	name := strconv.FormatInt(a.Offset, 10) + ".gz"
	f, err := os.OpenFile(filepath.Join(k.folder, name), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return kept{}, err
	}
	packed, _ := gzip.NewWriterLevel(f, gzip.BestSpeed) // a level that there is
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(packed, sum), io.NewSectionReader(disk, a.Offset, a.Length))
	if err = errors.Join(err, packed.Close(), f.Sync(), f.Close()); err != nil {
		return kept{}, fmt.Errorf("keep the bytes at %d: %w", a.Offset, err)
	}
	return kept{a, name, hex.EncodeToString(sum.Sum(nil))}, nil
}

// write comes last and at once: a kit with this file is complete.
func (k Kit) write() error {
	text, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return fmt.Errorf("describe the undo kit: %w", err)
	}
	file := filepath.Join(k.folder, kitFile)
	if err := writeFile(file+".new", append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// writeFile leaves a whole file on the disk.
func writeFile(name string, text []byte, mode os.FileMode) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

func readKit(folder string) (Kit, error) {
	text, err := os.ReadFile(filepath.Join(folder, kitFile))
	if err != nil {
		return Kit{}, err
	}
	k := Kit{folder: folder}
	if err := json.Unmarshal(text, &k); err != nil {
		return Kit{}, fmt.Errorf("read the undo kit %s: %w", folder, err)
	}
	if k.Schema != kitSchema {
		return Kit{}, fmt.Errorf("read the undo kit %s: its schema is %d, not %d", folder, k.Schema, kitSchema)
	}
	return k, nil
}

// Kits are the complete ones below dir.
func Kits(dir string) ([]Kit, error) {
	folders, err := filepath.Glob(filepath.Join(dir, "disk-*"))
	if err != nil {
		return nil, fmt.Errorf("look for undo kits: %w", err)
	}
	var kits []Kit
	for _, folder := range folders {
		k, err := readKit(folder)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		kits = append(kits, k)
	}
	return kits, nil
}

// Restore writes a kit back to its disk, which has to be released, and reads it back. All of the kit is checked before the first byte is written.
// It destroys what was written to these areas since; the caller has asked before.
func (s Site) Restore(ctx context.Context, k Kit) error {
	d, err := s.kitDevice(ctx, k)
	if err != nil {
		return err
	}
	for _, a := range k.Areas {
		if a.Offset < 0 || a.end() > d.Bytes {
			return fmt.Errorf("check the undo kit %s: %s lies outside of the disk", k.folder, a.File)
		}
		if err := k.eachChunk(a, func([]byte, int64) error { return nil }); err != nil {
			return fmt.Errorf("check the undo kit %s: %w", k.folder, err)
		}
	}
	c, err := open(ctx, d)
	if err != nil {
		return err
	}
	err = s.restore(ctx, k, c)
	if err = errors.Join(err, c.Close()); err != nil {
		return fmt.Errorf("restore %s: %w", d.Path, err)
	}
	return s.settle(ctx)
}

// kitDevice finds the kit's disk, which may have another name by now. It has to be the only one.
func (s Site) kitDevice(ctx context.Context, k Kit) (hive.Device, error) {
	devices, err := s.list(ctx)
	if err != nil {
		return hive.Device{}, err
	}
	var found []hive.Device
	for _, d := range devices {
		if d.Kind != "disk" || d.Path == s.Medium || k.of(d) != "" || k.Serial == "" && k.WWN == "" && d.Path != k.Device {
			continue
		}
		found = append(found, d)
	}
	switch len(found) {
	case 0:
		return hive.Device{}, &ChangedError{k.Disk, k.Device, fmt.Sprintf("no disk of %d bytes with serial number %q is there", k.Bytes, k.Serial)}
	case 1:
		return found[0], nil
	}
	return hive.Device{}, &ChangedError{k.Disk, k.Device, fmt.Sprintf("%d disks have %d bytes and the serial number %q: unplug the others", len(found), k.Bytes, k.Serial)}
}

func (s Site) restore(ctx context.Context, k Kit, c *claim) error {
	for _, a := range k.Areas {
		write := func(p []byte, at int64) error {
			_, err := c.WriteAt(p, at)
			return err
		}
		if err := k.eachChunk(a, write); err != nil {
			return err
		}
	}
	if err := c.forget(); err != nil {
		return err
	}
	for _, a := range k.Areas {
		sum := sha256.New()
		if _, err := io.Copy(sum, io.NewSectionReader(c, a.Offset, a.Length)); err != nil {
			return fmt.Errorf("read back the bytes at %d: %w", a.Offset, err)
		}
		if hex.EncodeToString(sum.Sum(nil)) != a.SHA256 {
			return &UnprovenError{[]string{fmt.Sprintf("the bytes at %d are not those of the kit", a.Offset)}}
		}
	}
	return c.reread(ctx)
}

// eachChunk unpacks an area piece by piece and checks its length and sum at the end.
func (k Kit) eachChunk(a kept, use func(p []byte, at int64) error) error {
	f, err := os.Open(filepath.Join(k.folder, filepath.Base(a.File)))
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	packed, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("unpack %s: %w", a.File, err)
	}
	sum := sha256.New()
	buffer := make([]byte, 1<<20)
	at := a.Offset
	for {
		n, err := io.ReadFull(packed, buffer)
		if at+int64(n) > a.end() {
			return fmt.Errorf("unpack %s: it is longer than %d bytes", a.File, a.Length)
		}
		_, _ = sum.Write(buffer[:n]) // a hash takes everything
		if useErr := use(buffer[:n], at); useErr != nil {
			return useErr
		}
		at += int64(n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && n < len(buffer) {
			break
		}
		if err != nil {
			return fmt.Errorf("unpack %s: %w", a.File, err)
		}
	}
	if at != a.end() || hex.EncodeToString(sum.Sum(nil)) != a.SHA256 {
		return fmt.Errorf("unpack %s: it is damaged", a.File)
	}
	return nil
}
