package state

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/stage/deploy/guard"
)

// answer is what the script says, before conclusions are drawn.
type answer struct {
	state    hive.HostState
	boot     bootFiles
	link     string // what SystemProfile is a link to
	user     string
	groups   []string
	trusted  []string
	record   []string        // of a guarded activation, a field a line
	devices  map[string]bool // file systems that are listed already
	repeated map[string]bool
}

// parse reads what the script wrote. The script is ours, but the host is not: a line that is not understood is an error.
func parse(out []byte, token string) (hive.HostState, error) {
	_, said, began := strings.Cut("\n"+string(out), "\n"+token+"\n")
	said, rest, ended := strings.Cut("\n"+said, "\n"+token+"\n")
	if !began || !ended || rest != "" {
		return hive.HostState{}, errCut
	}
	a := answer{devices: map[string]bool{}, repeated: map[string]bool{}}
	for line := range strings.SplitSeq(strings.TrimPrefix(said, "\n"), "\n") {
		if line == "" {
			continue
		}
		key, value, found := strings.Cut(line, "\t")
		if !found {
			return hive.HostState{}, fmt.Errorf("line %q has no value", line)
		}
		if err := a.take(key, plain(value)); err != nil {
			return hive.HostState{}, err
		}
	}
	if err := a.activation(); err != nil {
		return hive.HostState{}, err
	}
	return a.concluded(), nil
}

// plain leaves out what a terminal could take for a command: the host may not be what it was.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// lists are the words that may come more than once.
func lists() []string {
	return []string{"generation", "failed", "space", "hidden", "config", "line", "trusted", "record"}
}

func (a *answer) take(key, value string) error {
	if a.repeated[key] && !slices.Contains(lists(), key) {
		return fmt.Errorf("%s is said twice", key)
	}
	a.repeated[key] = true
	if text := a.text(key); text != nil {
		*text = value
		return nil
	}
	var err error
	switch key {
	case "current", "booted", "profile":
		err = a.path(key, value)
	case "uptime":
		a.state.Uptime, err = seconds(value)
	case "reboot":
		a.state.RebootNeeded, err = yes(value)
	case "generation":
		err = a.generation(value)
	case "failed":
		a.state.Failed = append(a.state.Failed, value)
	case "space":
		err = a.space(value)
	case "groups":
		a.groups = strings.Fields(value)
	case "trusted":
		a.trusted = append(a.trusted, strings.Fields(value)...)
	case "config":
		err = a.boot.config(value)
	case "line":
		err = a.boot.line(value)
	case "record":
		a.record = append(a.record, value)
	case "hidden": // says only why there may be no Default
	default:
		return fmt.Errorf("%q is not understood", key)
	}
	if err != nil {
		return fmt.Errorf("%s %q: %w", key, value, err)
	}
	return nil
}

// text is where a value that is any text belongs; nil where it is none.
func (a *answer) text(key string) *string {
	return map[string]*string{
		"hostname": &a.state.HostName, "boot": &a.state.BootID, "version": &a.state.Version, "systemd": &a.state.SystemState,
		"link": &a.link, "user": &a.user,
		"LoaderInfo": &a.boot.loader, "LoaderEntryDefault": &a.boot.chosen, "LoaderEntryLastBooted": &a.boot.last,
	}[key]
}

var storePath = regexp.MustCompile(`^/nix/store/[0-9a-df-np-sv-z]{32}-[0-9A-Za-z+\-._?=]+$`)

func (a *answer) path(key, value string) error {
	if value != "" && !storePath.MatchString(value) {
		return fmt.Errorf("not a store path")
	}
	*map[string]*string{"current": &a.state.Current, "booted": &a.state.Booted, "profile": &a.state.Profile}[key] = value
	return nil
}

func seconds(s string) (time.Duration, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 0 && f < 1e9) {
		return 0, fmt.Errorf("not a number of seconds")
	}
	return time.Duration(f * float64(time.Second)).Truncate(time.Millisecond), nil
}

func yes(s string) (bool, error) {
	if s != "yes" && s != "no" {
		return false, fmt.Errorf("neither yes nor no")
	}
	return s == "yes", nil
}

var link = regexp.MustCompile(`^system-([1-9][0-9]{0,8})-link$`)

// generation takes "system-12-link 1711111111 /nix/store/...". Links that are no generations are nobody's concern.
func (a *answer) generation(value string) error {
	words := strings.Fields(value)
	if len(words) != 3 {
		return fmt.Errorf("not a name, a time and a path")
	}
	m := link.FindStringSubmatch(words[0])
	if m == nil || !storePath.MatchString(words[2]) {
		return nil
	}
	number, _ := strconv.Atoi(m[1]) // digits, as few as fit
	made, err := strconv.ParseInt(words[1], 10, 64)
	if err != nil {
		return fmt.Errorf("its time is not a number")
	}
	a.state.Generations = append(a.state.Generations, hive.Generation{Number: number, Path: words[2], Made: time.Unix(made, 0).UTC()})
	return nil
}

// space takes mount, device number, block size, blocks, free blocks and source. Subvolumes of btrfs have a device number each, but one
// source; file systems without a device, such as tmpfs, have all the same source.
func (a *answer) space(value string) error {
	words := strings.Fields(value)
	if len(words) < 5 {
		return fmt.Errorf("not mount, device, block size, blocks and free blocks")
	}
	var n [3]int64
	for i := range n {
		v, err := strconv.ParseInt(words[2+i], 10, 64)
		if err != nil || v < 0 {
			return fmt.Errorf("%q is not a number of blocks", words[2+i])
		}
		n[i] = v
	}
	device := words[1]
	if len(words) > 5 && strings.HasPrefix(words[5], "/") {
		device = words[5]
	}
	if a.devices[device] {
		return nil
	}
	a.devices[device] = true
	a.state.Spaces = append(a.state.Spaces, hive.Space{Mount: words[0], Free: n[0] * n[2], Size: n[0] * n[1]})
	return nil
}

// activation is an activation that has not ended, by the guard's record.
func (a *answer) activation() error {
	if len(a.record) == 0 {
		return nil
	}
	s, err := guard.ParseRecord([]byte(strings.Join(a.record, "\n") + "\n"))
	if err != nil {
		return err
	}
	if s.State == hive.Waiting && s.BootID == a.state.BootID {
		s.Remaining = max(0, a.deadline()-int(a.state.Uptime.Seconds()))
	}
	if !s.State.Ends() {
		a.state.Unfinished = &s
	}
	return nil
}

// deadline is when a guard that waits goes back, in seconds since the kernel's start.
func (a *answer) deadline() int {
	for _, line := range a.record {
		if value, found := strings.CutPrefix(line, "deadline="); found {
			n, _ := strconv.Atoi(value) // none is a guard that goes back at once
			return n
		}
	}
	return 0
}

func (a *answer) concluded() hive.HostState {
	s := a.state
	slices.SortFunc(s.Generations, func(x, y hive.Generation) int { return x.Number - y.Number })
	if m := link.FindStringSubmatch(a.link); m != nil {
		s.Generation, _ = strconv.Atoi(m[1])
	}
	s.Default = a.boot.next()
	s.Trusted = a.believed()
	return s
}

// believed tells whether the user is among trusted-users as nix.conf(5) has them: names, @groups, or * for everybody. root needs no daemon.
func (a *answer) believed() bool {
	if a.user == "root" || slices.Contains(a.trusted, "*") || slices.Contains(a.trusted, a.user) {
		return true
	}
	return slices.ContainsFunc(a.groups, func(g string) bool { return slices.Contains(a.trusted, "@"+g) })
}
