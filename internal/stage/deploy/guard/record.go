package guard

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"nixos-staged-hive/internal/hive"
)

// answer is what the script says: the record, what it knows besides, and the rest of the log.
type answer struct {
	hive.ActivationState
	known    bool   // there is a record
	alive    bool   // somebody works at it, or may yet confirm it
	settling bool   // nobody did, and it is brought to an end now
	thisBoot string // boot id of now
	current  string
	booted   string
	limits   [3]int // the order's Activation, Confirm and Reboot in seconds
	log      []byte // from the offset that was asked for
	hasLog   bool
}

var errHalf = errors.New("the record is not whole")

// ParseRecord reads the record's file: a line KEY=VALUE for each field, and "end". Remaining is not in it; it goes by the host's clock.
func ParseRecord(text []byte) (hive.ActivationState, error) {
	body, whole := bytes.CutSuffix(text, []byte("end\n"))
	if !whole {
		return hive.ActivationState{}, errHalf
	}
	a, err := parseLines(body)
	if err == nil && !a.known {
		err = errHalf
	}
	return a.ActivationState, err
}

// parseAnswer reads what the script prints: the record without "end", more lines, and after a blank line the log.
func parseAnswer(out []byte) (answer, error) {
	head, log, hasLog := bytes.Cut(out, []byte("\n\n"))
	a, err := parseLines(head)
	a.log, a.hasLog = log, hasLog
	return a, err
}

func parseLines(text []byte) (answer, error) {
	a := answer{}
	a.Exit = -1
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			continue
		}
		key, value, found := strings.Cut(line, "=")
		if !found || !utf8.ValidString(value) {
			return answer{}, fmt.Errorf("the record has the line %q", line)
		}
		if err := a.take(key, value); err != nil {
			return answer{}, fmt.Errorf("the record's %s is %q: %w", key, value, err)
		}
	}
	a.known = a.Run != ""
	if a.known && !known(a.State) {
		return answer{}, fmt.Errorf("the record's state is %q", a.State)
	}
	return a, nil
}

// take reads one field. Those that only the script needs are passed over.
func (a *answer) take(key, value string) error {
	texts := map[string]*string{
		"run": &a.Run, "by": &a.By, "new": &a.New, "old": &a.Old, "oldProfile": &a.OldProfile, "oldDefault": &a.OldDefault,
		"bootId": &a.BootID, "reason": &a.Reason, "thisBoot": &a.thisBoot, "current": &a.current, "booted": &a.booted,
	}
	numbers := map[string]*int{
		"oldGeneration": &a.OldGeneration, "remaining": &a.Remaining, "exit": &a.Exit,
		"activation": &a.limits[0], "confirm": &a.limits[1], "reboot": &a.limits[2],
	}
	if to, ok := texts[key]; ok {
		*to = value
		return nil
	}
	if to, ok := numbers[key]; ok {
		n, err := strconv.Atoi(value)
		*to = n
		return err //nolint:wrapcheck // the caller says of which field
	}
	switch key {
	case "state":
		a.State = hive.Activation(value)
	case "alive":
		a.alive = value == "1"
	case "settling":
		a.settling = value == "1"
	case "begun":
		begun, err := time.Parse(time.RFC3339, value)
		a.Begun = begun
		return err //nolint:wrapcheck // the caller says of which field
	}
	return nil
}

func known(s hive.Activation) bool {
	switch s {
	case hive.Begun, hive.Activating, hive.Waiting, hive.Confirmed, hive.Rebooting, hive.Committed, hive.RollingBack, hive.RolledBack,
		hive.Refused, hive.Stuck:
		return true
	}
	return false
}
