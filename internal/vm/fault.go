package vm

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Unplug pulls the cable out of a card. The guest sees that the link is down.
func (r *Running) Unplug(ctx context.Context, card string) error { return r.link(ctx, card, false) }

// Plug puts the cable back.
func (r *Running) Plug(ctx context.Context, card string) error { return r.link(ctx, card, true) }

func (r *Running) link(ctx context.Context, card string, up bool) error {
	if !slices.ContainsFunc(r.machine.Cards, func(c Card) bool { return c.Name == card }) {
		return fmt.Errorf("%s has no card %s", r.machine.Name, card)
	}
	if err := r.call(ctx, "set_link", args{"name": cardDevice(card), "up": up}); err != nil {
		return fmt.Errorf("cable of card %s of %s: %w", card, r.machine.Name, err)
	}
	return nil
}

// RemoveDisk makes a disk stop working, as one does that breaks or loses its cable: from now on everything the guest asks of it fails
// with an I/O error. What it was told to write before is on the disk. On every bus but one the device stays visible to the guest; an
// MMC card is out of its slot.
func (r *Running) RemoveDisk(ctx context.Context, disk string) error {
	if err := r.swapDisk(ctx, disk, dead); err != nil {
		return fmt.Errorf("remove disk %s of %s: %w", disk, r.machine.Name, err)
	}
	return nil
}

// ReturnDisk makes it work again.
func (r *Running) ReturnDisk(ctx context.Context, disk string) error {
	if err := r.swapDisk(ctx, disk, sound); err != nil {
		return fmt.Errorf("return disk %s of %s: %w", disk, r.machine.Name, err)
	}
	return nil
}

// condition is what is done to a disk. The zero value is a disk that nothing was done to.
type condition int

const (
	untouched condition = iota
	dead                // the node that fails is under it
	sound               // its own node is under it again; the other one is still there, for the next time
)

// swapDisk does nothing to a disk that is in that condition already: QEMU 7.2 crashes if it is given the node it has.
func (r *Running) swapDisk(ctx context.Context, disk string, want condition) error {
	i := slices.IndexFunc(r.machine.Disks, func(d Disk) bool { return d.Name == disk })
	if i < 0 {
		return errors.New("it has no such disk")
	}
	r.faults.Lock()
	defer r.faults.Unlock()
	is := r.disks[disk]
	if is == want || want == sound && is == untouched {
		return nil
	}
	swap := r.swapNode
	if r.machine.Disks[i].Bus == MMC {
		swap = r.swapCard
	}
	if err := swap(ctx, r.machine.Disks[i], want); err != nil {
		return err
	}
	r.disks[disk] = want
	return nil
}

// swapCard takes a memory card out or puts it in. QEMU's card has no errors of its own: what fails below it is not told to the guest.
func (r *Running) swapCard(ctx context.Context, d Disk, want condition) error {
	if want == dead {
		return r.call(ctx, "blockdev-remove-medium", args{"id": diskDevice(d.Name)})
	}
	return r.call(ctx, "blockdev-insert-medium", args{"id": diskDevice(d.Name), "node-name": diskNode(d.Name)})
}

func (r *Running) swapNode(ctx context.Context, d Disk, want condition) error {
	if want == sound {
		return r.setDrive(ctx, d.Name, diskNode(d.Name))
	}
	if r.disks[d.Name] == untouched {
		if err := r.addDeadNode(ctx, d); err != nil {
			return err
		}
		r.disks[d.Name] = sound
	}
	return r.setDrive(ctx, d.Name, deadNode(d.Name))
}

func deadNode(disk string) string { return "dead-" + disk }

// addDeadNode makes a block node of the disk's size that answers everything with an error.
func (r *Running) addDeadNode(ctx context.Context, d Disk) error {
	const eio = 5
	var fail []args
	for _, kind := range []string{"read", "write", "write-zeroes", "discard", "flush"} {
		fail = append(fail, args{"event": "none", "iotype": kind, "errno": eio, "immediately": true})
	}
	return r.call(ctx, "blockdev-add", args{
		"driver": "blkdebug", "node-name": deadNode(d.Name), "inject-error": fail,
		"image": args{"driver": "null-co", "size": d.SizeBytes},
	})
}

// setDrive puts another block node under a disk (QEMU can since 7.0). On USB the disk is a SCSI one behind the device we know.
func (r *Running) setDrive(ctx context.Context, disk, node string) error {
	device := "/machine/peripheral/" + diskDevice(disk)
	behindUSB := device + "/" + diskDevice(disk) + ".0/legacy[0]"
	err := r.call(ctx, "qom-set", args{"path": behindUSB, "property": "drive", "value": node})
	if refused, ok := errors.AsType[*MonitorError](err); ok && refused.Class == "DeviceNotFound" {
		return r.call(ctx, "qom-set", args{"path": device, "property": "drive", "value": node})
	}
	return err
}

// EjectMedium pulls the removable medium while the machine runs. It is not in at the next start of a description without it.
func (r *Running) EjectMedium(ctx context.Context) error {
	if r.machine.Medium == "" {
		return fmt.Errorf("%s has no medium", r.machine.Name)
	}
	if err := r.call(ctx, "device_del", args{"id": mediumDevice}); err != nil {
		return fmt.Errorf("eject the medium of %s: %w", r.machine.Name, err)
	}
	err := r.await(ctx, func(events []event) bool {
		return slices.ContainsFunc(events, func(e event) bool { return e.Name == "DEVICE_DELETED" && e.Data.Device == mediumDevice })
	})
	if err != nil {
		return fmt.Errorf("eject the medium of %s: %w", r.machine.Name, err)
	}
	return nil
}
