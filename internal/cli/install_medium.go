package cli

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"nixos-staged-hive/internal/blockdev"
	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/nix"
	"nixos-staged-hive/internal/progress"
	"nixos-staged-hive/internal/secret"
	"nixos-staged-hive/internal/stage/medium"
	"nixos-staged-hive/internal/ui"
)

// thisPlatform is this computer's, as Nix calls it.
func thisPlatform() string {
	for name, m := range machines {
		if m.goarch == runtime.GOARCH {
			return name
		}
	}
	return runtime.GOARCH + "-" + runtime.GOOS
}

// made is a medium that was built, and what goes onto it when it is written.
type made struct {
	Image   string `json:"image"` // file in the store; it has no secrets
	Bytes   int64  `json:"bytes"`
	secrets secret.Package
	keys    map[string]string // public host keys by host
	isCard  bool
}

// makeMedium builds the image, and writes it where that is asked for.
func (h *house) makeMedium(ctx context.Context, l *loaded, hosts []hive.Host, o installOptions, sink progress.Sink, end func()) error {
	attribute, _ := o.attribute(hosts)
	if o.dry {
		end()
		return h.dryInstall(ctx, l, hosts, attribute, o)
	}
	m, err := h.build(ctx, l, hosts, o, sink)
	if err != nil {
		return err
	}
	if o.device == "" {
		end()
		return h.offer(ctx, hosts, m, o)
	}
	receipt, err := h.writeMedium(ctx, m, o, sink, end)
	if err != nil {
		return err
	}
	end()
	if o.json {
		return h.ui.JSON(map[string]any{"schema": hive.Schema, "image": m.Image, "device": receipt.Device.Path, "target": o.device, "bytes": receipt.Bytes, "verified": receipt.Verified, "hostKeys": m.keys})
	}
	if err := h.ui.Text(written(hosts, receipt, o)); err != nil || !o.wait {
		return err
	}
	return h.await(ctx, l, hosts[0], o)
}

// written says what is on the medium, and what is next.
func written(hosts []hive.Host, r medium.Receipt, o installOptions) string {
	proof := "read back and found right"
	if !r.Verified {
		proof = "not read back"
	}
	text := fmt.Sprintf("%s: %s written, %s\n", o.device, hive.Size(r.Bytes), proof)
	if len(hosts) > 1 {
		return text + "start a machine from it; its screen, or `nixos-staged-hive install -n NAME --remote find`, goes on from there\n"
	}
	name := hosts[0].Name
	switch {
	case hosts[0].Boot.Firmware == "board":
		text += fmt.Sprintf("put it into %s and switch it on: it starts its mini system\n", name)
	case hosts[0].Setup.Unattended:
		text += fmt.Sprintf("start %s from it: it installs itself once its disks are blank or its own; `nixos-staged-hive install -n %s --remote find` shows how far it is\n", name, name)
	default:
		text += fmt.Sprintf("start %s from it, and go on at its screen or with `nixos-staged-hive install -n %s --remote find`\n", name, name)
	}
	return text
}

// build makes the image with one evaluation, which also tells how the deployers' passwords are set.
func (h *house) build(ctx context.Context, l *loaded, hosts []hive.Host, o installOptions, sink progress.Sink) (made, error) {
	attribute, isCard := o.attribute(hosts)
	m := made{keys: map[string]string{}, isCard: isCard}
	if err := os.MkdirAll(l.stateDir("media"), 0o700); err != nil {
		return m, err
	}
	args := map[string]string{}
	if !isCard {
		program, err := h.setupProgram(ctx, hosts[0].System, o.program, l.stateDir("media", "setup-"+hosts[0].System))
		if err != nil {
			return m, err
		}
		args["setup"] = program
	}
	passwords, err := h.buildImage(ctx, l, &m, attribute, args, sink)
	if err != nil {
		return m, err
	}
	if isCard || o.noSecrets || o.device == "" { // without -d nothing is written that could hold them
		return m, nil
	}
	m.secrets, err = h.secretsOf(l, hosts, passwords, m.keys, o)
	return m, err
}

func (h *house) buildImage(ctx context.Context, l *loaded, m *made, attribute []string, args map[string]string, sink progress.Sink) (map[string]password, error) {
	passwords := map[string]password{}
	word, err := unguessable()
	if err != nil {
		return nil, err
	}
	attr := nix.AttrPath(attribute...)
	var broken error
	built, err := nix.Client{Run: h.run}.Build(ctx, nix.Build{
		File: l.workspace.File("generated", "default.nix"), Attrs: []string{attr}, Args: args,
		Links:    map[string]string{attr: l.stateDir("media", strings.Join(attribute, "-"))},
		Progress: sink, Task: "build the medium",
		Word: word,
		Told: func(text string) {
			var p password
			if err := json.Unmarshal([]byte(text), &p); err != nil {
				broken = fmt.Errorf("read how passwords are set: %w", err)
				return
			}
			passwords[p.Name] = p
		},
	})
	if err = errors.Join(err, broken); err != nil {
		return nil, err
	}
	if m.Image, err = imageIn(built[0].Output, m.isCard); err != nil {
		return nil, err
	}
	stat, err := os.Stat(m.Image)
	if err != nil {
		return nil, err
	}
	m.Bytes = stat.Size()
	return passwords, nil
}

func unguessable() (string, error) {
	raw := make([]byte, 16)
	if _, err := rand.Read(raw); err != nil {
		return "", fmt.Errorf("make a random word: %w", err)
	}
	return hex.EncodeToString(raw), nil
}

// password is how the password of a host's deployer is set, as the evaluation of a medium tells it.
type password struct {
	Name, User, File, Hash, Word string
}

// hash gives the hash for the medium.
func (p password) hash() (string, error) {
	if p.Hash == "" && p.Word != "" {
		return secret.HashPassword(p.Word)
	}
	return p.Hash, nil
}

// vault is the secrets of the workspace.
func (h *house) vault(l string) (secret.Vault, error) {
	identity, err := secret.IdentityFile()
	if err != nil {
		return secret.Vault{}, err
	}
	v := secret.Vault{Workspace: l, Identity: identity}
	if home, err := os.UserHomeDir(); err == nil {
		v.SSHKeys = []string{filepath.Join(home, ".ssh", "id_ed25519")}
	}
	return v, nil
}

// secretsOf gathers what the medium brings of each host, making host keys where there are none, and pins these in known_hosts. With several hosts
// they are sealed or left out.
func (h *house) secretsOf(l *loaded, hosts []hive.Host, passwords map[string]password, keys map[string]string, o installOptions) (secret.Package, error) {
	bundles := map[string]secret.Bundle{}
	for _, host := range hosts {
		b, err := h.bundle(l, host, passwords[host.Name])
		if err != nil {
			return secret.Package{}, err
		}
		keys[host.Name], bundles[host.Name] = b.HostKeyPub, b
	}
	switch {
	case !o.all:
		return secret.Package{Hosts: bundles}, nil
	case o.passphrase == "":
		h.ui.Note("the hosts' secrets are not on this medium: `install --remote` brings them, and --passphrase-file seals them onto it")
		return secret.Package{}, nil
	}
	text, err := os.ReadFile(o.passphrase)
	if err != nil {
		return secret.Package{}, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return secret.Seal(bundles, line)
}

// bundle is all that a machine has to be given to become a host.
func (h *house) bundle(l *loaded, host hive.Host, p password) (secret.Bundle, error) {
	v, err := h.vault(l.workspace.Dir)
	if err != nil {
		return secret.Bundle{}, err
	}
	public, _, err := v.EnsureHostKey(host.Name)
	if err != nil {
		return secret.Bundle{}, err
	}
	if _, err := secret.UpdateKnownHosts(l.workspace.Dir, map[string][]string{host.Name: secret.KnownHostsLines(host, public)}); err != nil {
		return secret.Bundle{}, err
	}
	evaluated, err := p.hash()
	if err != nil {
		return secret.Bundle{}, err
	}
	b, err := v.Bundle(host.Name, evaluated)
	if err == nil && b.PasswordHash == "" && hive.PlanOf(host).Deployer.HasPassword {
		where := ""
		if p.File != "" {
			where = fmt.Sprintf(" (the definition names a file on the host, %s)", p.File)
		}
		return b, &refusal{
			fmt.Errorf("%s: the hash of %s's password is not known here%s: without it sudo would let nobody in", host.Name, host.Deployer.Name, where),
			fmt.Sprintf("`nixos-staged-hive secret password %s` asks for it and keeps it encrypted", host.Name), codeFailed,
		}
	}
	return b, err
}

// regions are the bytes that replace the untouched place for secrets in the image.
func (m made) regions() ([]blockdev.Region, error) {
	if m.isCard {
		return nil, nil
	}
	f, err := os.Open(m.Image)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	at, err := secret.Find(f, m.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Image, err)
	}
	content, err := secret.Region(m.secrets)
	if err != nil {
		return nil, err
	}
	return []blockdev.Region{{Offset: at, Bytes: content}}, nil
}

// writeMedium writes the image. What has to be typed is asked for on a terminal.
func (h *house) writeMedium(ctx context.Context, m made, o installOptions, sink progress.Sink, end func()) (medium.Receipt, error) {
	regions, err := m.regions()
	if err != nil {
		return medium.Receipt{}, err
	}
	room := medium.Room{Runner: h.run, Elevate: medium.Sudo(), Self: h.exe}
	order := medium.Order{Image: m.Image, Replace: regions, Target: o.device, Overwrite: o.overwrite, Verify: !o.noVerify, Progress: sink}
	if len(o.confirm) > 0 {
		order.Confirm = o.confirm[0]
	}
	receipt, err := room.Write(ctx, order)
	var unconfirmed *medium.UnconfirmedError
	if !errors.As(err, &unconfirmed) || order.Confirm != "" || !h.ui.InTerminal {
		return receipt, err
	}
	end()
	h.showDevice(unconfirmed.Device)
	if order.Confirm, err = h.ui.Ask(ctx, fmt.Sprintf("all of this is overwritten; type %s to agree", unconfirmed.Word), "", nil); err != nil {
		return receipt, err
	}
	again, finish := h.progress()
	defer finish()
	order.Progress = again
	return room.Write(ctx, order)
}

func (h *house) showDevice(d hive.Device) {
	text := fmt.Sprintf("%s  %s  %s  serial %s\n", d.Path, d.Model, hive.Size(d.Bytes), d.Serial)
	for _, line := range medium.Contents(d) {
		text += "  " + line + "\n"
	}
	h.ui.Note(strings.TrimRight(text, "\n"))
}

// offer tells where the image could be written.
func (h *house) offer(ctx context.Context, hosts []hive.Host, m made, o installOptions) error {
	candidates, err := medium.Candidates(ctx, h.run, m.Bytes)
	if err != nil {
		return err
	}
	if o.json {
		return h.ui.JSON(map[string]any{"schema": hive.Schema, "image": m.Image, "bytes": m.Bytes, "candidates": candidates, "hostKeys": m.keys})
	}
	if err := h.ui.Text(fmt.Sprintf("%s (%s)\n", m.Image, hive.Size(m.Bytes))); err != nil {
		return err
	}
	table := ui.Table{Header: []string{"DEVICE", "MODEL", "SERIAL", "SIZE", "ON IT NOW", "AGAINST IT"}}
	for _, c := range candidates {
		var reasons []string
		for _, r := range c.Reasons {
			reasons = append(reasons, r.Text)
		}
		table.Rows = append(table.Rows, []string{c.Device.Path, c.Device.Model, c.Device.Serial, hive.Size(c.Device.Bytes), strings.Join(c.Contents, "\n"), strings.Join(reasons, "\n")})
	}
	if err := h.ui.Table(table); err != nil {
		return err
	}
	which := "-n " + hosts[0].Name
	if o.all {
		which = "--all"
	}
	return h.ui.Text(fmt.Sprintf("to write it: nixos-staged-hive install %s -d DEVICE (or -d FILE, for a virtual machine); host keys are put in while it is written\n", which))
}

// dryInstall prints what would be run, exactly, and what no program does.
func (h *house) dryInstall(ctx context.Context, l *loaded, hosts []hive.Host, attribute []string, o installOptions) error {
	attr := nix.AttrPath(attribute...)
	var text strings.Builder
	build := nix.Build{
		File: l.workspace.File("generated", "default.nix"), Attrs: []string{attr},
		Args: map[string]string{"setup": "STORE-PATH-OF-THE-PROGRAM"},
	}
	if _, isCard := o.attribute(hosts); !isCard {
		file, err := h.programFile(hosts[0].System, o.program)
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "nix-store --add %s\n", file)
	}
	fmt.Fprintf(&text, "nix-build %s -A %s --argstr setup STORE-PATH-OF-THE-PROGRAM --out-link %s\n", build.File, attr, l.stateDir("media", strings.Join(attribute, "-")))
	if o.device == "" {
		text.WriteString("# nothing is written without -d\n")
		return h.ui.Text(text.String())
	}
	fmt.Fprintf(&text, "# then this program writes the image with the hosts' secrets put in; without these it is\n")
	fmt.Fprintf(&text, "dd if=IMAGE of=%s bs=4M oflag=direct conv=fsync\n", o.device)
	candidates, err := medium.Candidates(ctx, h.run, 0)
	if err != nil {
		return err
	}
	for _, c := range candidates {
		if c.Device.Path != o.device {
			continue
		}
		for _, r := range c.Reasons {
			fmt.Fprintf(&text, "# against %s: it %s\n", o.device, r.Text)
		}
		fmt.Fprintf(&text, "# it wants --confirm %s\n", c.Word)
	}
	return h.ui.Text(text.String())
}

// openDeviceCommand is run by this program itself, as root: see package medium.
func openDeviceCommand(h *house) *cobra.Command {
	return &cobra.Command{
		Use: medium.OpenCommand, Hidden: true, Short: "Open a device for this program; run by itself",
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return medium.ServeOpen(cmd.Context(), h.run, args, os.Stdin.Fd())
		},
	}
}
