package generate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"nixos-staged-hive/internal/hive"
)

// hiveDocument is hive.json: what hosts may know of each other, and where the definitions are. Keys and users stay out of it.
func hiveDocument(hosts []hive.Host, entries map[string][]string) map[string]any {
	all := map[string]any{}
	for _, h := range hosts {
		all[h.Name] = map[string]any{
			"definition": h.Definition,
			"without":    list(h.Without),
			"system":     h.System,
			"hostName":   h.HostName,
			"domain":     h.Domain,
			"addresses":  addresses(h),
			"targetHost": orNull(h.Deployment.TargetHost),
			"targetUser": orNull(h.Deployment.TargetUser),
			"tags":       list(h.Deployment.Tags),
			"member":     member(h.Member),
		}
	}
	lines := map[string]any{}
	for address, names := range entries {
		lines[address] = list(names)
	}
	return map[string]any{
		"schema":    hive.Schema,
		"workspace": "..",
		"entries":   lines,
		"hosts":     all,
	}
}

// hostDocument is host.json: all that medium and mini system need of one host. Password hashes are no facts and cannot be in it.
func hostDocument(h hive.Host, miniModules []string) (map[string]any, error) {
	carried, err := carriedList(h)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"schema":     hive.Schema,
		"name":       h.Name,
		"definition": h.Definition,
		"hostName":   h.HostName,
		"hostId":     h.HostID,
		"system":     h.System,
		"deployer": map[string]any{
			"name":        h.Deployer.Name,
			"keys":        list(h.Deployer.Keys),
			"hasPassword": deployerHasPassword(h),
			"sudoAsks":    h.Deployer.Sudo == "password",
		},
		"units":                units(h),
		"carried":              carried,
		"kernelAttribute":      h.Boot.KernelAttribute,
		"miniModules":          list(miniModules),
		"without":              list(h.Without),
		"diskLayout":           len(h.Storage.Disks) > 0,
		"supportedFileSystems": list(h.Boot.SupportedFSList),
		"timeZone":             carriedText(carried, "time", "timeZone"),
		"locale":               carriedText(carried, "i18n", "defaultLocale"),
		"keyMap":               carriedText(carried, "console", "keyMap"),
	}, nil
}

// mediumDocument is medium.json: the part of the facts that travels on the medium of the host, for the program that installs it.
func mediumDocument(h hive.Host) (map[string]any, error) {
	plan := hive.PlanOf(h)
	text, err := json.Marshal(plan)
	if err != nil {
		return nil, fmt.Errorf("host %q: write its plan: %w", h.Name, err)
	}
	document, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("host %q: write its plan: %w", h.Name, err)
	}
	sum, err := plan.Hash()
	return map[string]any{"schema": hive.ManifestSchema, "plan": document, "planHash": sum}, err
}

// deployerHasPassword looks the deployer up among the users: the facts name it without saying so again.
func deployerHasPassword(h hive.Host) bool {
	return slices.ContainsFunc(h.Users, func(u hive.User) bool { return u.Name == h.Deployer.Name && u.HasPassword })
}

func addresses(h hive.Host) []any {
	all := []any{}
	for _, i := range h.Network.Interfaces {
		all = append(all, list(i.Addresses)...)
	}
	return all
}

func units(h hive.Host) map[string]any {
	all := map[string]any{}
	for name, text := range h.Network.Units {
		all[name] = text
	}
	return all
}

func member(m *hive.Member) any {
	if m == nil {
		return nil
	}
	return map[string]any{"cluster": m.Cluster, "role": m.Role}
}

func carriedList(h hive.Host) ([]any, error) {
	all := []any{}
	var problems []error
	for _, c := range h.Carried {
		value, err := decode(c.Value)
		if err != nil {
			problems = append(problems, fmt.Errorf("host %q: carried setting %s: %w", h.Name, strings.Join(c.Path, "."), err))
		}
		all = append(all, map[string]any{"path": list(c.Path), "value": value})
	}
	return all, errors.Join(problems...)
}

// carriedText is the carried setting at path if it is a string, else nil. The medium needs it before any module is evaluated.
func carriedText(carried []any, path ...string) any {
	for _, c := range carried {
		setting := c.(map[string]any) // carriedList made it
		if slices.Equal(setting["path"].([]any), list(path)) {
			if text, ok := setting["value"].(string); ok {
				return text
			}
		}
	}
	return nil
}

// list never is nil, because Nix wants a list and JSON would say null.
func list(texts []string) []any {
	all := make([]any, len(texts))
	for i, text := range texts {
		all[i] = text
	}
	return all
}

func orNull(text *string) any {
	if text == nil {
		return nil
	}
	return *text
}

// decode keeps numbers as they are spelled: a float64 would round large integers.
func decode(raw json.RawMessage) (any, error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("the value is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return nil, fmt.Errorf("read the value: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("read the value: there is more than one")
	}
	return value, nil
}

// encode sorts keys (maps are sorted by encoding/json), indents by two blanks and leaves <, > and & alone, so that a person and
// git can read the result.
func encode(document map[string]any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(document); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return b.Bytes(), nil
}
