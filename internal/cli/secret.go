package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"nixos-staged-hive/internal/secret"
	"nixos-staged-hive/internal/stage/workspace"
	"nixos-staged-hive/internal/ui"
)

func secretCommand(h *house) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "secret",
		GroupID: "workspace",
		Short:   "Keep what hosts need and nobody may read: host keys, passwords, keys of disks",
		Long: `Secrets are age files in secrets/NAME/ of the workspace: they can be committed. Your key is in ~/.config/nixos-staged-hive/identity.txt,
made with the first secret; keep a copy. Others who work on the hive are lines of secrets/recipients (age or SSH public keys).
They reach a machine on its medium, beside the image and never in it, or over SSH while it is installed.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(secretListCommand(h), secretSetCommand(h), secretPasswordCommand(h), secretRemoveCommand(h), secretRekeyCommand(h))
	return cmd
}

// ofWorkspace opens the workspace and its secrets, and sees to it that the host is one of its.
func (h *house) ofWorkspace(host string) (*workspace.Workspace, secret.Vault, error) {
	w, err := workspace.Open(h.path)
	if err != nil {
		return nil, secret.Vault{}, err
	}
	if host != "" && !slices.Contains(w.Names(), host) {
		return w, secret.Vault{}, &usageError{fmt.Errorf("there is no definition of %s in nixConfigs/: there are %s", host, strings.Join(w.Names(), ", "))}
	}
	v, err := h.vault(w.Dir)
	return w, v, err
}

func secretListCommand(h *house) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List what is kept of each host, by name and never by content",
		Args:  usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			w, v, err := h.ofWorkspace("")
			if err != nil {
				return err
			}
			type line struct {
				Host        string   `json:"host"`
				Fingerprint string   `json:"fingerprint"` // of the host key; empty without one
				Kept        []string `json:"kept"`
			}
			all := []line{}
			for _, name := range w.Names() {
				l := line{Host: name, Kept: []string{}}
				if key, err := v.HostKey(name); err != nil {
					return err
				} else if key != "" {
					if l.Fingerprint, err = secret.Fingerprint(key); err != nil {
						return err
					}
				}
				if l.Kept, err = v.Names(name); err != nil {
					return err
				}
				all = append(all, l)
			}
			if asJSON {
				return h.ui.JSON(all)
			}
			table := ui.Table{Header: []string{"HOST", "HOST KEY", "KEPT"}}
			for _, l := range all {
				table.Rows = append(table.Rows, []string{l.Host, l.Fingerprint, strings.Join(l.Kept, "\n")})
			}
			return h.ui.Table(table)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func secretSetCommand(h *house) *cobra.Command {
	from, mode := "", uint32(0o600)
	cmd := &cobra.Command{
		Use:   "set NAME PATH",
		Short: "Keep a file that the host's medium gets at PATH before disks are formatted, such as the key of a LUKS device",
		Long: `Reads the content from --from, or from standard input. PATH is absolute, on the medium: what disko's tree names as passwordFile or
keyFile. /run/nixos-staged-hive/passphrase answers the questions of LUKS devices that have neither.`,
		Args: usage(cobra.ExactArgs(2)),
		RunE: func(_ *cobra.Command, args []string) error {
			_, v, err := h.ofWorkspace(args[0])
			if err != nil {
				return err
			}
			content, err := h.content(from)
			if err != nil {
				return err
			}
			return v.SetFile(args[0], secret.File{Path: args[1], Mode: mode, Content: content})
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "a file to read the content from")
	cmd.Flags().Uint32Var(&mode, "mode", 0o600, "its permission bits")
	return cmd
}

// content reads a file, or standard input without one.
func (h *house) content(file string) ([]byte, error) {
	if file != "" {
		return os.ReadFile(file)
	}
	text, err := io.ReadAll(io.LimitReader(h.ui.In, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("read the content: %w", err)
	}
	return text, nil
}

func secretPasswordCommand(h *house) *cobra.Command {
	return &cobra.Command{
		Use:   "password NAME",
		Short: "Keep the password of the host's deployer: asked for, or its hash on standard input",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, v, err := h.ofWorkspace(args[0])
			if err != nil {
				return err
			}
			hash, err := h.passwordHash(cmd.Context())
			if err != nil {
				return err
			}
			return v.SetPassword(args[0], hash)
		},
	}
}

func (h *house) passwordHash(ctx context.Context) (string, error) {
	if !h.ui.InTerminal {
		text, err := io.ReadAll(io.LimitReader(h.ui.In, 4096))
		if err != nil {
			return "", fmt.Errorf("read the hash: %w", err)
		}
		hash := strings.TrimSpace(string(text))
		if !strings.HasPrefix(hash, "$") {
			return "", &usageError{errors.New("standard input is no hash of crypt(5): `mkpasswd` makes one")}
		}
		return hash, nil
	}
	word, err := h.ui.AskSecret(ctx, "password")
	if err != nil {
		return "", err
	}
	again, err := h.ui.AskSecret(ctx, "again")
	if err != nil {
		return "", err
	}
	if word != again {
		return "", &refusal{errors.New("they differ: nothing was changed"), "", codeFailed}
	}
	return secret.HashPassword(word)
}

func secretRemoveCommand(h *house) *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME PATH",
		Short: "Forget a file that was kept",
		Args:  usage(cobra.ExactArgs(2)),
		RunE: func(_ *cobra.Command, args []string) error {
			_, v, err := h.ofWorkspace(args[0])
			if err != nil {
				return err
			}
			return v.RemoveFile(args[0], args[1])
		},
	}
}

func secretRekeyCommand(h *house) *cobra.Command {
	return &cobra.Command{
		Use:   "rekey",
		Short: "Encrypt all secrets anew, after a change of secrets/recipients",
		Args:  usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			_, v, err := h.ofWorkspace("")
			if err != nil {
				return err
			}
			return v.Rekey()
		},
	}
}
