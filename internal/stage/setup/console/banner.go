package console

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/ui"
)

// mainPage is the first thing that is seen: which medium on which machine, how to reach it, and what can be done.
func mainPage(s State, look Look, choices []choice) page {
	p := page{title: ui.OneLine(s.Program) + ": installation medium"}.with(choices)
	blocks := mainBlocks(s)
	if code := qrFor(s, look); code != nil {
		p.body = beside(blocks, code, look)
		if look.Rows == 0 || len(p.body) <= p.room(look) {
			return p
		}
	}
	p.body = nil
	for _, block := range blocks {
		p.body = append(p.body, block(look)...)
	}
	return p
}

// block is a part of a page that is laid out for the width that it gets.
type block func(Look) []ui.Line

func mainBlocks(s State) []block {
	blank := func(Look) []ui.Line { return []ui.Line{nil} }
	return []block{
		func(l Look) []ui.Line { return machineLines(s, l) },
		func(l Look) []ui.Line { return hostLines(s, l) },
		blank,
		func(l Look) []ui.Line { return cardLines(s.Machine.Cards, l) },
		blank,
		func(l Look) []ui.Line { return reachLines(s, l) },
		func(l Look) []ui.Line { return keyLines(s, l) },
		func(l Look) []ui.Line { return earlierLines(s.Earlier, l) },
		func(l Look) []ui.Line { return l.field("", ui.Faint, "No disk is touched before you confirm it.") },
	}
}

// beside sets blocks to the left of a code, and those below it over the whole width.
func beside(blocks []block, code []ui.Line, look Look) []ui.Line {
	narrow := look
	narrow.Columns -= codeWidth(code) + 1
	var left []ui.Line
	for _, block := range blocks {
		if len(left) < len(code) {
			left = append(left, block(narrow)...)
		} else {
			left = append(left, block(look)...)
		}
	}
	return joined(left, code, narrow.Columns+1)
}

// minBeside is how narrow the text beside the QR code may get.
const minBeside = 36

// qrFor makes the QR code if there is something to encode and the width for it.
func qrFor(s State, look Look) []ui.Line {
	text := sshURL(s)
	if look.Plain || text == "" {
		return nil
	}
	code, err := qrLines(text)
	if err != nil || look.Columns-codeWidth(code)-1 < minBeside {
		return nil
	}
	return code
}

func codeWidth(code []ui.Line) int { return utf8.RuneCountInString(code[0].String()) }

// joined sets two columns beside each other.
func joined(left, right []ui.Line, at int) []ui.Line {
	lines := make([]ui.Line, max(len(left), len(right)))
	for i := range lines {
		if i < len(left) {
			lines[i] = append(lines[i], left[i]...)
		}
		if i < len(right) {
			lines[i] = append(lines[i], ui.Span{Text: strings.Repeat(" ", max(0, at-utf8.RuneCountInString(lines[i].String())))})
			lines[i] = append(lines[i], right[i]...)
		}
	}
	return lines
}

func machineLines(s State, look Look) []ui.Line {
	m := s.Machine
	name := strings.TrimSpace(m.Product.Vendor + " " + m.Product.Name)
	if name == "" {
		name = "no name in its firmware"
	}
	lines := look.field("Machine", ui.Plain, name)
	lines = append(lines, look.field("", ui.Plain, fmt.Sprintf("%s of memory, %s", memory(m.Memory), firmware(m)))...)
	if m.CPU.Model != "" {
		lines = append(lines, look.field("", ui.Plain, fmt.Sprintf("%s, %d cores", m.CPU.Model, m.CPU.Cores))...)
	}
	return lines
}

func hostLines(s State, look Look) []ui.Line {
	switch {
	case s.Host != "":
		return look.field("It becomes", ui.Good, s.Host+whyText(s.Why))
	case len(s.Hosts) == 0:
		return look.field("It becomes", ui.Bad, "nothing: there is no host on this medium")
	case len(s.Hosts) == 1:
		return look.field("It becomes", ui.Good, s.Hosts[0].Name)
	}
	return look.field("It becomes", ui.Doubtful, "one of: "+listed(names(s.Hosts), 6))
}

func whyText(why string) string {
	switch why {
	case "mac":
		return " (a card's address is known)"
	case "serial":
		return " (its serial number is known)"
	case "uuid":
		return " (its UUID is known)"
	case "the only one on the medium", "":
		return ""
	}
	return " (" + why + ")"
}

func names(hosts []Host) []string {
	all := make([]string, len(hosts))
	for i, h := range hosts {
		all[i] = h.Name
	}
	return all
}

// listed names the first few.
func listed(all []string, few int) string {
	if len(all) <= few {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:few], ", "), len(all)-few)
}

func memory(bytes int64) string {
	if bytes < 1<<30 {
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return strconv.FormatFloat(float64(bytes)/(1<<30), 'f', 0, 64) + " GiB"
}

func firmware(m hive.Machine) string {
	switch m.Firmware {
	case "uefi":
		if m.Secure {
			return "UEFI with Secure Boot"
		}
		return "UEFI"
	case "bios":
		return "BIOS"
	}
	return "device tree"
}

// cardLines show each card with its addresses, or why it has none.
func cardLines(cards []hive.Card, look Look) []ui.Line {
	if len(cards) == 0 {
		return look.field("Network", ui.Bad, "no network card was found")
	}
	width := 0
	for _, c := range cards {
		width = max(width, utf8.RuneCountInString(c.Name)+1)
	}
	var lines []ui.Line
	label := "Network"
	for _, c := range cards {
		name := c.Name
		for _, said := range cardSays(c) {
			head := ui.Span{Tone: ui.Faint, Text: pad(label, labelWidth) + pad(ui.OneLine(name), width)}
			lines = append(lines, look.hang(head, said.Tone, said.Text)...)
			label, name = "", ""
		}
	}
	return lines
}

func cardSays(c hive.Card) []ui.Span {
	var global, local []ui.Span
	for _, a := range c.Addresses {
		prefix, err := netip.ParsePrefix(a)
		switch {
		case err != nil || prefix.Addr().IsLinkLocalUnicast():
			local = append(local, ui.Span{Tone: ui.Faint, Text: a})
		default:
			global = append(global, ui.Span{Tone: ui.Good, Text: a})
		}
	}
	switch {
	case !c.Carrier && c.Wireless:
		return []ui.Span{{Tone: ui.Doubtful, Text: "in no wireless network"}}
	case !c.Carrier:
		return []ui.Span{{Tone: ui.Doubtful, Text: "no cable"}}
	case len(global) == 0:
		return append([]ui.Span{{Tone: ui.Doubtful, Text: "waiting for an address"}}, local...)
	}
	return global
}

// reachable gives the addresses of cards in use, IPv4 first.
func reachable(m hive.Machine) []netip.Addr {
	var four, six []netip.Addr
	for _, c := range m.Cards {
		for _, a := range c.Addresses {
			prefix, err := netip.ParsePrefix(a)
			switch addr := prefix.Addr(); {
			case err != nil || !c.Carrier || addr.IsLinkLocalUnicast() || addr.IsLoopback():
			case addr.Is4():
				four = append(four, addr)
			default:
				six = append(six, addr)
			}
		}
	}
	return append(four, six...)
}

// target is what to type after ssh: an address, or where there is none yet the name that multicast DNS knows.
func target(s State) string {
	if all := reachable(s.Machine); len(all) > 0 {
		return all[0].String()
	}
	for _, c := range s.Machine.Cards {
		if c.Carrier && s.Name != "" {
			return s.Name + ".local"
		}
	}
	return ""
}

func sshURL(s State) string {
	to := target(s)
	if to == "" {
		return ""
	}
	if strings.Contains(to, ":") {
		to = "[" + to + "]"
	}
	if s.SSHPort != 0 && s.SSHPort != 22 {
		to += ":" + strconv.Itoa(s.SSHPort)
	}
	return "ssh://root@" + to
}

// reachLines say how to reach the medium from elsewhere.
func reachLines(s State, look Look) []ui.Line {
	to := target(s)
	if to == "" {
		return nil
	}
	port := ""
	if s.SSHPort != 0 && s.SSHPort != 22 {
		port = fmt.Sprintf(" -p %d", s.SSHPort)
	}
	return append(look.field("From afar", ui.Strong, "ssh"+port+" root@"+to),
		look.field("", ui.Plain, "nixos-staged-hive install --remote "+to+" -n "+nameOr(s))...)
}

func keyLines(s State, look Look) []ui.Line {
	var lines []ui.Line
	if sealed(s) {
		lines = look.field("Secrets", ui.Doubtful, "sealed: the hosts' keys and passwords want the passphrase")
	}
	if s.Finger != "" {
		lines = append(lines, look.field("Host key", ui.Plain, s.Finger)...)
	}
	return lines
}

func nameOr(s State) string {
	switch {
	case s.Host != "":
		return s.Host
	case len(s.Hosts) == 1:
		return s.Hosts[0].Name
	}
	return "NAME"
}

func sealed(s State) bool {
	for _, h := range s.Hosts {
		if h.Sealed && (s.Host == "" || s.Host == h.Name) {
			return true
		}
	}
	return false
}

func earlierLines(j *hive.Journal, look Look) []ui.Line {
	if j == nil {
		return nil
	}
	began := j.Began.UTC().Format("2006-01-02 15:04 MST")
	switch {
	case j.Done:
		return look.field("Earlier", ui.Good, fmt.Sprintf("%s was installed completely, begun %s", j.Host, began))
	case len(j.Finished) == 0:
		return look.field("Earlier", ui.Doubtful, fmt.Sprintf("the installation of %s, begun %s, did not get far", j.Host, began))
	}
	return look.field("Earlier", ui.Doubtful, fmt.Sprintf("the installation of %s, begun %s, was interrupted after %s: install goes on there",
		j.Host, began, j.Finished[len(j.Finished)-1]))
}

// countPage is shown while an unattended installation can still be stopped.
func countPage(c Countdown, now time.Time, look Look) page {
	left := max(0, int(c.Begin.Sub(now).Round(time.Second)/time.Second))
	p := page{title: fmt.Sprintf("%s will be installed in %d seconds", ui.OneLine(c.Host), left)}
	p.body = look.paragraph(ui.Plain, "This medium installs without a question: hive.setup.unattended is set for this host.")
	p.body = append(p.body, nil)
	for _, line := range c.What {
		p.body = append(p.body, look.hang(ui.Span{Text: "  "}, ui.Strong, line)...)
	}
	return p.with([]choice{{name: "Any key", what: "stops it"}})
}
