package bootchain

import (
	"strconv"
	"strings"
)

// grubMenu is a grub.cfg as far as it says what is started.
type grubMenu struct {
	choice  string // of the default entry: an index, a title, or "${saved_entry}"
	drives  map[string]search
	entries []grubEntry // at the top
}

// search is how GRUB finds a file system: by "fs-uuid", "label" or "file".
type search struct{ by, value string }

// grubEntry is a menu entry, or a menu with more of them.
type grubEntry struct {
	title, id   string
	linux       string // with the drive: ($drive1)//kernels/...
	initrds     []string
	commandLine string
	drives      map[string]search // searched for in the entry itself
	entries     []grubEntry       // of a submenu
	submenu     bool
	xen         bool // linux and initrds are modules of Xen
}

// readGrub reads the commands that NixOS' install-grub.pl writes (23.05 to 25.05); all others are passed over.
func readGrub(text string) grubMenu {
	p := grubParser{menu: grubMenu{drives: map[string]search{}}}
	for line := range strings.Lines(text) {
		p.line(grubWords(line))
	}
	for len(p.open) > 0 { // a file that was cut off
		p.close()
	}
	return p.menu
}

type grubParser struct {
	menu grubMenu
	open []*grubEntry // blocks that are not closed; nil is one that is no entry
}

func (p *grubParser) line(words []string) {
	if len(words) == 0 {
		return
	}
	opens := words[len(words)-1] == "{"
	switch {
	case words[0] == "menuentry" || words[0] == "submenu":
		if opens {
			p.open = append(p.open, newGrubEntry(words))
		}
	case words[0] == "}":
		p.close()
	case opens:
		p.open = append(p.open, nil)
	default:
		p.command(words)
	}
}

func newGrubEntry(words []string) *grubEntry {
	e := &grubEntry{submenu: words[0] == "submenu", drives: map[string]search{}}
	for i, w := range words {
		switch {
		case i == 1:
			e.title = w
		case w == "--id" && i+1 < len(words):
			e.id = words[i+1]
		case strings.HasPrefix(w, "--id="):
			e.id = strings.TrimPrefix(w, "--id=")
		}
	}
	return e
}

func (p *grubParser) close() {
	if len(p.open) == 0 {
		return
	}
	last := p.open[len(p.open)-1]
	p.open = p.open[:len(p.open)-1]
	if last == nil {
		return
	}
	for i := len(p.open) - 1; i >= 0; i-- {
		if p.open[i] != nil {
			p.open[i].entries = append(p.open[i].entries, *last)
			return
		}
	}
	p.menu.entries = append(p.menu.entries, *last)
}

// inner is the entry that a command stands in.
func (p *grubParser) inner() *grubEntry {
	for i := len(p.open) - 1; i >= 0; i-- {
		if p.open[i] != nil {
			return p.open[i]
		}
	}
	return nil
}

func (p *grubParser) command(words []string) {
	e := p.inner()
	if words[0] == "search" {
		drives := p.menu.drives
		if e != nil {
			drives = e.drives
		}
		if name, s, ok := grubSearch(words[1:]); ok {
			drives[name] = s
		}
		return
	}
	if e == nil {
		// the other branch is for one start only
		if value, ok := strings.CutPrefix(strings.Join(words, " "), "set default="); ok && !strings.Contains(value, "next_entry") {
			p.menu.choice = value
		}
		return
	}
	e.command(words)
}

func (e *grubEntry) command(words []string) {
	switch words[0] {
	case "multiboot", "multiboot2":
		e.xen = true
	case "linux", "linuxefi", "linux16":
		e.kernel(words)
	case "initrd", "initrdefi", "initrd16":
		e.initrds = append(e.initrds, words[1:]...)
	case "module", "module2":
		if e.linux == "" {
			e.kernel(words)
		} else {
			e.initrds = append(e.initrds, words[1:]...)
		}
	}
}

func (e *grubEntry) kernel(words []string) {
	if len(words) > 1 {
		e.linux, e.commandLine = words[1], strings.Join(words[2:], " ")
	}
}

// grubSearch reads the arguments of search: --set=NAME, by what, and the value.
func grubSearch(words []string) (name string, s search, ok bool) {
	name = "root"
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case w == "--set" && i+1 < len(words) && !strings.HasPrefix(words[i+1], "--"):
			i++
			name = words[i]
		case strings.HasPrefix(w, "--set="):
			name = strings.TrimPrefix(w, "--set=")
		case w == "--fs-uuid" || w == "-u":
			s.by = "fs-uuid"
		case w == "--label" || w == "-l":
			s.by = "label"
		case w == "--file" || w == "-f":
			s.by = "file"
		case !strings.HasPrefix(w, "-"):
			s.value = w
		}
	}
	return name, s, s.by != "" && s.value != ""
}

// grubWords splits a line as GRUB's script does: blanks, both kinds of quotes, backslashes, comments.
func grubWords(line string) []string {
	var words []string
	var word strings.Builder
	inside, quote := false, byte(0)
	flush := func() {
		if inside {
			words = append(words, word.String())
			word.Reset()
			inside = false
		}
	}
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '\\' && quote != '\'' && i+1 < len(line):
			i++
			inside = true
			word.WriteByte(line[i])
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteByte(c)
		case c == '"' || c == '\'':
			quote, inside = c, true
		case c == '#' && !inside:
			flush()
			return words
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			flush()
		case c == ';':
			flush()
		default:
			inside = true
			word.WriteByte(c)
		}
	}
	flush()
	return words
}

// chosen is the entry that GRUB starts when nobody touches a key. Within a menu it is that menu's first.
func (m grubMenu) chosen() (grubEntry, bool) {
	choice := m.choice
	if strings.Contains(choice, "saved_entry") || choice == "" {
		choice = "0"
	}
	return chooseGrub(m.entries, strings.Split(choice, ">"))
}

func chooseGrub(entries []grubEntry, choice []string) (grubEntry, bool) {
	wanted := "0"
	if len(choice) > 0 {
		wanted, choice = choice[0], choice[1:]
	}
	for i, e := range entries {
		if strconv.Itoa(i) != wanted && e.title != wanted && (e.id == "" || e.id != wanted) {
			continue
		}
		if e.submenu {
			return chooseGrub(e.entries, choice)
		}
		return e, true
	}
	return grubEntry{}, false
}

// all are the entries that start something, those of submenus too.
func (m grubMenu) all() []grubEntry { return flatten(m.entries) }

func flatten(entries []grubEntry) []grubEntry {
	var found []grubEntry
	for _, e := range entries {
		if e.submenu {
			found = append(found, flatten(e.entries)...)
		} else {
			found = append(found, e)
		}
	}
	return found
}
