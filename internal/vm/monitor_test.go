package vm

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// fakeQEMU answers each command with the lines that answer gives for it, where %d is the command's number; nil ends the connection. It
// says what a real one says only in rare moments.
func fakeQEMU(t *testing.T, answer func(command string) []string) (*monitor, *[]string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "qmp")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprintln(conn, `{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}}, "capabilities": ["oob"]}}`)
		for in := bufio.NewScanner(conn); in.Scan(); {
			var c struct {
				Execute string
				ID      int
			}
			if json.Unmarshal(in.Bytes(), &c) != nil {
				return
			}
			lines := []string{`{"return": {}, "id": %d}`}
			if c.Execute != "qmp_capabilities" {
				lines = answer(c.Execute)
			}
			if lines == nil {
				return
			}
			for _, line := range lines {
				fmt.Fprintln(conn, strings.ReplaceAll(line, "%d", fmt.Sprint(c.ID)))
			}
		}
	}()
	var told []string
	m, err := dialMonitor(soon(t), socket, func(e event) { told = append(told, e.Name+" "+e.Data.Reason) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.close)
	return m, &told
}

func TestMonitorTellsAnswersEventsAndRefusalsApart(t *testing.T) {
	m, told := fakeQEMU(t, func(command string) []string {
		switch command {
		case "refused":
			return []string{`{"error": {"class": "DeviceNotFound", "desc": "Device 'x' not found"}, "id": %d}`}
		case "strange":
			return []string{`{"return": "text", "id": %d}`}
		}
		return []string{
			`{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}, "timestamp": {"seconds": 1, "microseconds": 2}}`,
			`{"return": {"status": "late"}, "id": 999}`, // to a call that was given up
			`{"event": "ODD", "data": "text"}`,
			`{"return": {"status": "running"}, "id": %d}`,
		}
	})
	var state struct{ Status string }
	if err := m.call(soon(t), "query-status", nil, &state); err != nil || state.Status != "running" {
		t.Errorf("got %+v, %v", state, err)
	}
	refused, ok := errors.AsType[*MonitorError](m.call(soon(t), "refused", nil, nil))
	if !ok || refused.Class != "DeviceNotFound" || refused.Error() != "qemu refused: Device 'x' not found" {
		t.Errorf("got %v", refused)
	}
	if err := m.call(soon(t), "strange", nil, &state); err == nil || !strings.Contains(err.Error(), "read its answer") {
		t.Errorf("got %v", err)
	}
	m.close()
	if strings.Join(*told, ", ") != "SHUTDOWN guest-shutdown, ODD " {
		t.Errorf("told %q", *told)
	}
}

func TestMonitorThatEndsLetsNobodyWait(t *testing.T) {
	m, _ := fakeQEMU(t, func(command string) []string {
		if command == "last" {
			return nil
		}
		return []string{}
	})
	given, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	cancel(reason)
	if err := m.call(given, "hang", nil, nil); !errors.Is(err, reason) {
		t.Errorf("given up: %v", err)
	}
	var waiting sync.WaitGroup
	for range 3 {
		waiting.Go(func() {
			if err := m.call(soon(t), "hang", nil, nil); !errors.Is(err, errMonitorGone) {
				t.Errorf("on the way: %v", err)
			}
		})
	}
	if err := m.call(soon(t), "last", nil, nil); !errors.Is(err, errMonitorGone) {
		t.Errorf("the last: %v", err)
	}
	waiting.Wait()
	if err := m.call(soon(t), "more", nil, nil); !errors.Is(err, errMonitorGone) {
		t.Errorf("after the end: %v", err)
	}
}

func TestMonitorForPeopleIsSilentWhenAllIsWell(t *testing.T) {
	said := make(chan string, 1)
	m, _ := fakeQEMU(t, func(string) []string { return []string{`{"return": ` + <-said + `, "id": %d}`} })
	said <- `""`
	if err := m.human(soon(t), "hostfwd_add x"); err != nil {
		t.Error(err)
	}
	said <- `"invalid\r\nrule\r\n"`
	if err := m.human(soon(t), "hostfwd_add x"); err == nil || err.Error() != "qemu hostfwd_add x: invalid rule" {
		t.Errorf("got %v", err)
	}
}
