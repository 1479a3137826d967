package hive

import "time"

// SystemProfile is the profile whose generations NixOS' boot loaders offer.
const SystemProfile = "/nix/var/nix/profiles/system"

// HostState is what a host says of itself at one moment. Paths are resolved store paths, empty where there is none or it cannot be said.
type HostState struct {
	HostName   string `json:"hostName"`
	BootID     string `json:"bootId"`     // another one after each start of the kernel
	Current    string `json:"current"`    // /run/current-system
	Booted     string `json:"booted"`     // /run/booted-system
	Profile    string `json:"profile"`    // what SystemProfile leads to
	Generation int    `json:"generation"` // its number; 0: the profile is no generation
	// Default is what the next boot takes, as far as the boot loader's files say it (systemd-boot, GRUB, extlinux).
	Default string `json:"default"`
	// RebootNeeded: kernel, kernel modules or initrd of Current are others than those of Booted, as nixos-rebuild and NixOS' own
	// auto-upgrade compare them.
	RebootNeeded bool             `json:"rebootNeeded"`
	Version      string           `json:"version"` // nixos-version of Current
	SystemState  string           `json:"state"`   // systemctl is-system-running: "running", "degraded", "starting", ...
	Failed       []string         `json:"failed"`  // units that systemd calls failed
	Uptime       time.Duration    `json:"uptime"`  // nanoseconds
	Spaces       []Space          `json:"spaces"`  // file systems of /, /nix and /boot, each once
	Generations  []Generation     `json:"generations"`
	Trusted      bool             `json:"trusted"` // the user that logged in may push unsigned paths to the Nix daemon
	Unfinished   *ActivationState `json:"unfinished,omitempty"`
}

// Space is a file system's room in bytes.
type Space struct {
	Mount string `json:"mount"`
	Free  int64  `json:"free"` // for root
	Size  int64  `json:"size"`
}

// Generation is a link of the system profile.
type Generation struct {
	Number int       `json:"number"`
	Path   string    `json:"path"`
	Made   time.Time `json:"made"`
}

// Activation says where a guarded activation stands on its host. Nothing that survives a reboot is written before Confirmed: the boot
// loader and the system profile are the old ones until then, so that a machine that crashes, hangs or is switched off comes up as it was.
type Activation string

// The states, in order; RolledBack, Refused and Committed end.
const (
	// Begun: the host is locked for this run and what it ran is recorded. Nothing is changed yet.
	Begun Activation = "begun"
	// Activating: switch-to-configuration test of the new system runs.
	Activating Activation = "activating"
	// Waiting: the new system is current; the guard goes back to the old one unless it is confirmed in time.
	Waiting Activation = "waiting"
	// Confirmed: a new connection has reached the host and its checks passed; profile and boot loader follow.
	Confirmed Activation = "confirmed"
	// Rebooting: the new system is the boot loader's choice for one boot, and the old one for all later boots until confirmed.
	Rebooting Activation = "rebooting"
	// Committed: current system, profile and boot loader's default are the new system.
	Committed Activation = "committed"
	// RollingBack: the old system is being activated again.
	RollingBack Activation = "rolling back"
	// RolledBack: current system, profile and default are what they were before, exactly.
	RolledBack Activation = "rolled back"
	// Refused: nothing was changed.
	Refused Activation = "refused"
	// Stuck: going back failed; the host's record says how far it came. The machine still boots the old system.
	Stuck Activation = "stuck"
)

// Ends tells that nothing more will happen by itself.
func (a Activation) Ends() bool {
	return a == Committed || a == RolledBack || a == Refused || a == Stuck
}

// ActivationState is the record of a guarded activation, kept on its host.
type ActivationState struct {
	Run           string     `json:"run"` // the deployment run, unique
	By            string     `json:"by"`  // user@computer of the operator
	State         Activation `json:"state"`
	New           string     `json:"new"` // store path
	Old           string     `json:"old"` // what was current
	OldProfile    string     `json:"oldProfile"`
	OldGeneration int        `json:"oldGeneration"`
	OldDefault    string     `json:"oldDefault"`
	BootID        string     `json:"bootId"`    // of the start during which it was begun
	Begun         time.Time  `json:"begun"`     // by the host's clock
	Remaining     int        `json:"remaining"` // seconds until the guard goes back; 0 where it does not wait
	Exit          int        `json:"exit"`      // of switch-to-configuration; -1 while unknown. 4: current, with failed units
	Reason        string     `json:"reason"`    // why it was rolled back or refused
}
