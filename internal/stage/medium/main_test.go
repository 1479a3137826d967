package medium

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"

	"nixos-staged-hive/internal/blockdev"
	"nixos-staged-hive/internal/run"
)

// TestMain makes the test binary the program that is run as root, and the one that an ordinary user runs.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case OpenCommand:
			if err := ServeOpen(context.Background(), run.Local{}, os.Args[2:], 0); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		case "as-user":
			os.Exit(asUser(os.Args[2]))
		}
	}
	os.Exit(m.Run())
}

// said is what the ordinary user's program tells the test.
type said struct {
	UID     int
	Error   string
	Refused *blockdev.RefusedError
	Busy    bool
	Missing bool
	Bytes   int64
	Device  string
	Events  int
}

func asUser(order string) int {
	var o Order
	if err := json.Unmarshal([]byte(order), &o); err != nil {
		panic(err)
	}
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	room := Room{Runner: run.Local{}, Elevate: []string{"sudo", "-n", "--"}, Self: self}
	receipt, err := room.Write(context.Background(), o)
	s := said{UID: os.Geteuid(), Bytes: receipt.Bytes, Device: receipt.Device.Path}
	if err != nil {
		s.Error = err.Error()
		busy, missing := (*blockdev.BusyError)(nil), (*run.MissingError)(nil)
		errors.As(err, &s.Refused)
		s.Busy, s.Missing = errors.As(err, &busy), errors.As(err, &missing)
	}
	if err := json.NewEncoder(os.Stdout).Encode(s); err != nil {
		panic(err)
	}
	return 0
}
