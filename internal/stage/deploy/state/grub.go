package state

import (
	"path"
	"regexp"
	"strconv"
	"strings"
)

// grubItem is an entry or a submenu of GRUB's menu.
type grubItem struct {
	title, id string
	system    string
	items     []*grubItem // of a submenu
}

var (
	grubTitle   = regexp.MustCompile(`^\s*(menuentry|submenu)\s+(?:"((?:[^"\\]|\\.)*)"|'([^']*)')(.*)$`)
	grubID      = regexp.MustCompile(`--id[= ]['"]?([^'"\s{]+)`)
	grubDefault = regexp.MustCompile(`^\s*set default=(.*)$`)
)

// grub finds the default entry of a grub.cfg as NixOS writes it (install-grub.pl, 24.05): a number, a title, a path of them
// with ">" between, or what grubenv has saved.
func (b *bootFiles) grub(file string) string {
	menu, chosen := grubMenu(b.lines[file])
	if strings.Contains(chosen, "saved_entry") {
		chosen = ""
		for _, line := range b.lines[path.Join(path.Dir(file), "grubenv")] {
			if value, found := strings.CutPrefix(line, "saved_entry="); found {
				chosen = value
			}
		}
	}
	return grubChoice(menu, chosen)
}

// grubMenu is the menu and the default as it is written, without what is for one boot only.
func grubMenu(lines []string) (menu *grubItem, chosen string) {
	menu = &grubItem{}
	open := []*grubItem{menu}
	for _, line := range lines {
		top := open[len(open)-1]
		if m := grubTitle.FindStringSubmatch(line); m != nil {
			item := &grubItem{title: m[2] + m[3]}
			if id := grubID.FindStringSubmatch(m[4]); id != nil {
				item.id = id[1]
			}
			top.items = append(top.items, item)
			open = append(open, item)
			continue
		}
		if m := grubDefault.FindStringSubmatch(line); m != nil && len(open) == 1 {
			if value := strings.Trim(strings.TrimSpace(m[1]), `"'`); !strings.Contains(value, "next_entry") {
				chosen = value
			}
		}
		if strings.TrimSpace(line) == "}" && len(open) > 1 {
			open = open[:len(open)-1]
		}
		if top.system == "" {
			top.system = booted(line)
		}
	}
	return menu, chosen
}

// grubChoice follows a default through submenus. What is not found is the first entry, as GRUB (2.06) has it.
func grubChoice(menu *grubItem, chosen string) string {
	at := menu
	for part := range strings.SplitSeq(chosen, ">") {
		if at = at.find(strings.TrimSpace(part)); at == nil {
			break
		}
	}
	if at == nil || at == menu {
		at = menu
	}
	for len(at.items) > 0 {
		at = at.items[0]
	}
	return at.system
}

func (g *grubItem) find(name string) *grubItem {
	if n, err := strconv.Atoi(name); err == nil {
		if n < 0 || n >= len(g.items) {
			return nil
		}
		return g.items[n]
	}
	for _, item := range g.items {
		if name != "" && (item.title == name || item.id == name) {
			return item
		}
	}
	return nil
}
