package medium

import (
	"context"
	"errors"
	"os"

	"nixos-staged-hive/internal/blockdev"
	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/run"
)

// wish is a device that is to be overwritten.
type wish struct {
	Path    string
	Bytes   int64  // of the image
	Confirm string // what was typed for it
}

// take opens a device for ourselves, if nothing speaks against it: judged before it is open, and once more when nobody else can change it.
func take(ctx context.Context, r run.Runner, w wish) (*blockdev.Held, hive.Device, error) {
	device, err := w.judge(ctx, r)
	if err != nil {
		return nil, device, err
	}
	held, err := blockdev.Hold(w.Path, device)
	if err != nil {
		return nil, device, err
	}
	if err := w.again(ctx, r, held, device); err != nil {
		return nil, device, errors.Join(err, held.Close())
	}
	return held, device, nil
}

// judge finds the device and refuses it if it has to.
func (w wish) judge(ctx context.Context, r run.Runner) (hive.Device, error) {
	node, err := blockdev.Look(w.Path)
	if err != nil {
		return hive.Device{}, err
	}
	devices, err := blockdev.List(ctx, r)
	if err != nil {
		return hive.Device{}, err
	}
	return w.refuse(devices, node.Number, node.Path)
}

func (w wish) refuse(devices []hive.Device, number, path string) (hive.Device, error) {
	device, _, ok := blockdev.Find(devices, number)
	if !ok {
		device = hive.Device{Path: path, Number: number}
	}
	return device, blockdev.Refuse(device, blockdev.Judge(devices, number, w.Bytes), w.Confirm)
}

func (w wish) again(ctx context.Context, r run.Runner, held *blockdev.Held, before hive.Device) error {
	devices, err := blockdev.List(ctx, r)
	if err != nil {
		return err
	}
	if err := held.Same(devices, before); err != nil {
		return err
	}
	_, err = w.refuse(devices, held.Number, held.Path)
	return err
}

// forbidden tells a device that only lacks the right to be opened.
func forbidden(err error) bool { return errors.Is(err, os.ErrPermission) && os.Geteuid() != 0 }
