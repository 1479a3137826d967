// Package disk gives tests block devices of their own: loop devices on sparse files, blank or with a partition table, at which the kernel
// looks as at any disk. Everything is taken back at the test's end, and by the next test run when this one is killed (package remains). It never
// touches a device whose backing file is not its own.
//
// What a loop device cannot have is a serial number, a WWN, a model and a transport: code that chooses disks by those needs a virtual
// machine. It needs root and /dev/loop-control.
package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"nixos-staged-hive/internal/testbed/need"
	"nixos-staged-hive/internal/testbed/remains"
)

// Spec is the disk to be had.
type Spec struct {
	Size     int64 // bytes, a multiple of Sector; 0 is 64 MiB
	Sector   int   // bytes in a logical sector, 512 or 4096; 0 is 512
	ReadOnly bool
	Table    Table  // with Parts written to it; the zero value leaves the disk blank
	Parts    []Part // each begins at the next whole MiB
}

// Disk is an attached loop device.
type Disk struct {
	Path    string // such as /dev/loop3
	Backing string // the file with its bytes

	spec Spec
	held *os.File // the device: while it is open the kernel does not detach it, and when we die it does
	run  *remains.Run
}

const (
	mib      = 1 << 20
	patience = 20 * time.Second // for the kernel and udev to show or drop a device
)

// New makes and attaches a disk until the end of the test.
func New(t testing.TB, spec Spec) *Disk {
	t.Helper()
	need.Root(t)
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("no loop devices on this machine: %v", err)
		}
		need.Skip(t, "NOT PROVEN ON DISKS: no loop devices on this machine: %v", err)
	}
	if spec.Size == 0 {
		spec.Size = 64 * mib
	}
	if spec.Sector == 0 {
		spec.Sector = 512
	}
	d := &Disk{spec: spec}
	if err := d.make(); err != nil {
		t.Fatalf("make a disk: %v", errors.Join(err, d.end()))
	}
	t.Cleanup(func() {
		if err := d.end(); err != nil {
			t.Errorf("take back disk %s: %v", d.Path, err)
		}
	})
	for n := range spec.Parts {
		d.Part(t, n+1)
	}
	return d
}

func (d *Disk) make() error {
	run, err := remains.Begin()
	if err != nil {
		return err
	}
	d.run = run
	dir := filepath.Join(os.TempDir(), "nixos-staged-hive-"+run.Name())
	if err := run.Folder(dir); err != nil {
		return err
	}
	d.Backing = filepath.Join(dir, "disk")
	file, err := os.OpenFile(d.Backing, os.O_CREATE|os.O_RDWR|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = file.Truncate(d.spec.Size)
	if err == nil {
		err = d.spec.write(file)
	}
	if err == nil {
		err = d.attach(file)
	}
	if err == nil {
		err = d.scan()
	}
	if err == nil {
		err = d.show()
	}
	return errors.Join(err, file.Close())
}

// attach asks for a free device until it gets one: others ask too.
func (d *Disk) attach(file *os.File) error {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = control.Close() }() // only asked
	for deadline := time.Now().Add(patience); ; {
		number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return fmt.Errorf("ask for a free loop device: %w", err)
		}
		d.Path = fmt.Sprintf("/dev/loop%d", number)
		err = d.configure(file)
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return err
		}
	}
}

// configure attaches so that the kernel looks for partitions, and detaches by itself when nobody has the device open any more.
func (d *Disk) configure(file *os.File) error {
	mode := os.O_RDWR
	config := unix.LoopConfig{Fd: uint32(file.Fd()), Size: uint32(d.spec.Sector)}
	config.Info.Flags = unix.LO_FLAGS_PARTSCAN | unix.LO_FLAGS_AUTOCLEAR
	if d.spec.ReadOnly {
		mode = os.O_RDONLY
		config.Info.Flags |= unix.LO_FLAGS_READ_ONLY
	}
	copy(config.Info.File_name[:], d.Backing)
	device, err := os.OpenFile(d.Path, mode, 0)
	if err != nil {
		return err
	}
	if err := unix.IoctlLoopConfigure(int(device.Fd()), &config); err != nil {
		return errors.Join(fmt.Errorf("attach %s to %s: %w", d.Backing, d.Path, err), device.Close())
	}
	// Read-only hinders nobody who wants the disk for himself. Opened before the other is closed: the last close detaches.
	d.held, err = os.OpenFile(d.Path, os.O_RDONLY, 0)
	return errors.Join(err, device.Close())
}

// scan makes the kernel look for partitions. It answers that it is busy while another, such as udev's blkid, looks at one of them.
func (d *Disk) scan() error {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		err := unix.IoctlSetInt(int(d.held.Fd()), unix.BLKRRPART, 0)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return fmt.Errorf("read the partitions of %s: %w", d.Path, err)
		}
	}
}

// show adds the partitions of our table to a kernel that was built without reading tables, as partprobe does it.
func (d *Disk) show() error {
	parts, err := d.spec.place()
	if err != nil {
		return err
	}
	for i, p := range parts {
		if _, err := os.Stat(fmt.Sprintf("/sys/class/block/%sp%d", filepath.Base(d.Path), i+1)); err == nil {
			continue
		}
		sector := int64(d.spec.Sector)
		if err := d.add(i+1, int64(p.first)*sector, int64(p.last-p.first+1)*sector); err != nil {
			return fmt.Errorf("show partition %d of %s: %w", i+1, d.Path, err)
		}
	}
	return nil
}

// add is BLKPG_ADD_PARTITION (linux/blkpg.h); start and length are in bytes.
func (d *Disk) add(number int, start, length int64) error {
	part := unix.BlkpgPartition{Start: start, Length: length, Pno: int32(number)}
	arg := unix.BlkpgIoctlArg{Op: unix.BLKPG_ADD_PARTITION, Datalen: int32(unsafe.Sizeof(part)), Data: (*byte)(unsafe.Pointer(&part))}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, d.held.Fd(), unix.BLKPG, uintptr(unsafe.Pointer(&arg)))
	if errno != 0 && !errors.Is(errno, unix.EBUSY) { // busy: udev was faster
		return errno
	}
	return nil
}

// Part waits for the device of the n-th partition, from 1 on, and gives its path.
func (d *Disk) Part(t testing.TB, n int) string {
	t.Helper()
	path := fmt.Sprintf("%sp%d", d.Path, n)
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		_, err := os.Stat(path)
		if err == nil {
			return path
		}
		if time.Now().After(deadline) {
			t.Fatalf("partition %d of %s does not appear: %v", n, d.Path, err)
		}
	}
}

// Rescan makes the kernel read the partition table again, as after a program wrote one. A kernel without partition tables (the option
// CONFIG_EFI_PARTITION is off on some small ones) then shows no partitions; partprobe and partx do it there.
func (d *Disk) Rescan(t testing.TB) {
	t.Helper()
	if err := d.own(); err != nil {
		t.Fatal(err)
	}
	if err := d.scan(); err != nil {
		t.Fatal(err)
	}
}

// Detach takes the device away before the end of the test. What is mounted from it is unmounted. The backing file keeps its bytes.
// The kernel does not take a loop device from a program that has it open: no stick can be pulled out under a writer here.
func (d *Disk) Detach(t testing.TB) {
	t.Helper()
	if err := d.detach(); err != nil {
		t.Errorf("detach %s: %v", d.Path, err)
	}
}

// own refuses when the device is not ours: it may have been detached by the test and given to somebody else since.
func (d *Disk) own() error {
	backing, err := remains.Backing(strings.TrimPrefix(d.Path, "/dev/"))
	if err != nil {
		return err
	}
	if backing != d.Backing || d.held == nil {
		return fmt.Errorf("%s is not ours any more: behind it is %q, not %q", d.Path, backing, d.Backing)
	}
	return nil
}

func (d *Disk) detach() error {
	if d.held == nil {
		return nil
	}
	err := d.held.Close() // mostly this detaches it; else somebody has mounted it
	d.held = nil
	return errors.Join(err, remains.DetachLoops(filepath.Dir(d.Backing)))
}

func (d *Disk) end() error {
	if d.run == nil {
		return nil
	}
	return errors.Join(d.detach(), d.run.End())
}
