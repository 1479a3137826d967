package summary

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"strconv"
	"strings"
)

//go:embed picture.css
var pictureStyle string

// SVG is a picture of the network: the uplink, a band for each network with its gateway, and a card for each host. It is
// a document of its own, needs nothing from outside, follows the viewer's light or dark mode, and may be put into a web
// page as it is.
func (s Summary) SVG() []byte {
	d := &drawing{}
	p := Layout(s)
	d.printf(`<svg xmlns="http://www.w3.org/2000/svg" class="nsh" role="img" aria-labelledby="nsh-title nsh-desc" width="%d" height="%d" viewBox="0 0 %d %d">`,
		p.Width, p.Height, p.Width, p.Height)
	d.printf(`<title id="nsh-title">%s</title><desc id="nsh-desc">%s</desc>`, escape(s.title()), escape(s.description()))
	d.printf("<style>%s</style>", pictureStyle)
	d.printf(`<defs><pattern id="nsh-hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path class="hatch" d="M0 0V6"/></pattern></defs>`)
	d.rect("page", Rect{0, 0, p.Width, p.Height}, 0)
	d.head(s, p)
	d.trunk(p)
	for _, b := range p.Bands {
		d.band(b)
	}
	d.legend(p)
	d.printf("</svg>")
	return d.Bytes()
}

// description reads the picture to those who cannot see it.
func (s Summary) description() string {
	out := []string{s.counts() + "."}
	for _, n := range s.Networks {
		var hosts []string
		for _, m := range n.Members {
			hosts = append(hosts, strings.Join(present(m.Host, m.Address), " "))
		}
		out = append(out, n.title()+": "+strings.Join(hosts, ", ")+".")
	}
	return strings.Join(out, " ")
}

// drawing writes SVG elements. Names, addresses and all other text from definitions pass through escape; what is
// printed elsewhere is ours.
type drawing struct{ bytes.Buffer }

func escape(s string) string { return template.HTMLEscapeString(clean(s)) }

func (d *drawing) printf(format string, args ...any) {
	fmt.Fprintf(&d.Buffer, format, args...)
	d.WriteByte('\n')
}

func (d *drawing) rect(class string, r Rect, round int) {
	d.printf(`<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="%d"/>`, class, r.X, r.Y, r.W, r.H, round)
}

func (d *drawing) text(class string, x, y int, s string) {
	if s != "" {
		d.printf(`<text class="%s" x="%d" y="%d">%s</text>`, class, x, y, escape(s))
	}
}

func (d *drawing) circle(class string, x, y, r int) {
	d.printf(`<circle class="%s" cx="%d" cy="%d" r="%d"/>`, class, x, y, r)
}

func (d *drawing) path(class, format string, args ...any) {
	d.printf(`<path class="%s" d="%s"/>`, class, fmt.Sprintf(format, args...))
}

// group draws with a tooltip.
func (d *drawing) group(tip string, draw func()) {
	d.printf("<g>")
	if tip != "" {
		d.printf("<title>%s</title>", escapeLines(tip))
	}
	draw()
	d.printf("</g>")
}

// escapeLines keeps line breaks, which viewers show in a tooltip.
func escapeLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = escape(lines[i])
	}
	return strings.Join(lines, "\n")
}

// hexagon is a cell of the hive.
func (d *drawing) hexagon(class string, x, y, size int) {
	half, side := size/2, size*7/8
	d.path(class, "M%d %dl%d %dv%dl%d %dl%d %dv%dz", x, y-size, side, half, size, -side, half, -side, -half, -size)
}

func (d *drawing) head(s Summary, p Picture) {
	const x = gutter + 13
	d.hexagon("f0", 49, 38, 11)
	d.hexagon("f1", 38, 58, 11)
	d.hexagon("f2", 60, 58, 11)
	right := p.Width - margin
	for _, m := range headPills(s) {
		right -= m.W + 12
		d.rect(m.Class, Rect{right, 28, m.W + 12, 24}, 12)
		d.text("t11 count mid", right+m.W/2+6, 44, m.Text)
		right -= 8
	}
	d.headLine("h1", bold(25), x, 50, s.title(), right)
	d.headLine("t13 soft", sans(13), x, 75, dotted(s.counts()), p.Width-margin)
	d.headLine("t12 soft", sans(12), x, 95, dotted(s.Pins.text()), p.Width-margin)
}

// headLine shortens what has no room and keeps the whole of it as a tooltip.
func (d *drawing) headLine(class string, m measure, x, y int, s string, right int) {
	d.group(s, func() { d.text(class, x, y, m.end(clean(s), 1000*(right-x))) })
}

func dotted(s string) string { return strings.ReplaceAll(s, ", ", "  ·  ") }

// headPills says how the hive is.
func headPills(s Summary) []Mark {
	var out []Mark
	if s.Totals.Warnings > 0 {
		out = append(out, newMark(plural(s.Totals.Warnings, "warning"), "", "warnings"))
	}
	if s.Totals.Errors > 0 {
		out = append(out, newMark(plural(s.Totals.Errors, "error"), "", "errors"))
	}
	if len(out) == 0 {
		out = append(out, newMark("no problems", "", "fine"))
	}
	return out
}

// trunk runs from the uplink down the left side to every network that has a way out.
func (d *drawing) trunk(p Picture) {
	const x = gutter / 2
	if p.uplink == 0 {
		return
	}
	low := p.uplink
	for _, b := range p.Bands {
		if !b.Network.leads() {
			continue
		}
		y := b.headY()
		if b.feedY > 0 {
			y = b.feedY
		}
		d.path("wire trunk", "M%d %dH%dV%dH%d", x, y, b.portX, b.headY(), b.X)
		low = max(low, y)
	}
	d.path("wire trunk", "M%d %dV%d", x, p.uplink, low)
	d.path("cloud", "M%d %dh26a9 9 0 0 0 2 -17.8a13 13 0 0 0 -24.6 -4.4a10 10 0 0 0 -10 9.7a6.6 6.6 0 0 0 2.6 12.5z", x-11, p.uplink+10)
	d.text("t12 soft", gutter+4, p.uplink+4, "uplink")
}

func (b Band) headY() int { return b.Y + bandHead/2 }

func (d *drawing) band(b Band) {
	d.rect("band f"+b.color+" s"+b.color, b.Rect, 16)
	d.bus(b)
	d.bandHead(b)
	for _, c := range b.Cards {
		d.group(c.Host.tip(), func() { d.card(c, b.color) })
	}
	for _, m := range b.Guests {
		d.group(m.Tip, func() {
			d.rect(m.Class, m.Rect, markHeight/2)
			if m.Color == "" {
				d.text("t10 mid", m.middle(), m.Y+14, m.Text)
				return
			}
			d.circle("f"+m.Color, m.X+12, m.Y+markHeight/2, 4)
			d.text("t10", m.X+22, m.Y+14, m.Text)
		})
	}
}

// bandHead is the name of the network, its gateways, and how many hosts are in it. A router symbol stands where the
// trunk meets a network with a gateway; if that is a host of the hive, it stands at the band's edge, off the trunk.
func (d *drawing) bandHead(b Band) {
	y := b.headY()
	n := b.Network
	if len(n.Gateways) > 0 {
		d.circle("f"+b.router, b.portX, y, 13)
		d.path("onfill", "M%d %dh-5m2.5 -2.5l-2.5 2.5l2.5 2.5M%d %dh5m-2.5 -2.5l2.5 2.5l-2.5 2.5M%d %dv-5m-2.5 2.5l2.5 -2.5l2.5 2.5M%d %dv5m-2.5 -2.5l2.5 2.5l2.5 -2.5",
			b.portX-2, y, b.portX+2, y, b.portX, y-2, b.portX, y+2)
	} else if n.leads() {
		d.circle("f"+b.color, b.portX, y, 6)
	}
	x := b.X + spine + bandPad
	count := plural(b.hosts, "host")
	room := 1000*(b.right()-bandPad-x) - sans(12).of(count) - 20000
	title := bold(15).end(clean(n.title()), room)
	d.group(n.title(), func() { d.text("h2", x, y+5, title) })
	room -= bold(15).of(title) + 16000
	if gateways := bandNote(n); gateways != "" && room > 60000 {
		d.text("t12 soft", x+bold(15).of(title)/1000+16, y+5, sans(12).end(clean(gateways), room))
	}
	d.text("t12 soft end", b.right()-bandPad, y+5, count)
}

func bandNote(n Network) string {
	if len(n.Gateways) > 0 {
		if n.Via != "" {
			return "gateway " + n.Via + " (" + strings.Join(n.Gateways, ", ") + ")"
		}
		return "gateway " + strings.Join(n.Gateways, ", ")
	}
	switch n.ID {
	case dhcpID:
		return "addresses are leased"
	case noneID:
		return ""
	}
	return "no gateway"
}

// bus is the wire of a network: down the left side of the band, with a branch above each row of cards.
func (d *drawing) bus(b Band) {
	if len(b.Cards) == 0 || b.Network.ID == noneID {
		return
	}
	x, class := b.X+spine, "wire s"+b.color
	last := 0
	for i, c := range b.Cards {
		endOfRow := i+1 == len(b.Cards) || b.Cards[i+1].Y != c.Y
		y := c.Y - 14
		d.path(class, "M%d %dV%d", c.middle(), y, c.Y)
		if endOfRow {
			d.path(class, "M%d %dH%d", x, y, c.middle())
			last = y
		}
	}
	d.path(class, "M%d %dH%dV%d", b.X, b.headY(), x, last)
}

func (d *drawing) card(c Card, color string) {
	d.rect("shade", Rect{c.X + 1, c.Y + 3, c.W, c.H}, 12)
	class := "card"
	if c.Host.Broken {
		class += " broken"
	}
	d.rect(class, c.Rect, 12)
	if c.Host.Network != noneID {
		d.circle("f"+color, c.middle(), c.Y, 4)
	}
	d.cardHead(c, color)
	for _, l := range c.Lines {
		d.cardLine(c, l)
	}
	for _, disk := range c.Disks {
		d.disk(c, disk)
	}
	for _, m := range c.Badges {
		d.group(m.Tip, func() {
			d.rect(m.Class, m.Rect, markHeight/2)
			d.text("t10 mid "+m.Class+"-t", m.middle(), m.Y+14, m.Text)
		})
	}
}

func (d *drawing) cardHead(c Card, color string) {
	x, y := c.X+cardPad+15, c.Y+30
	d.hexagon("f"+color, x, y, 16)
	d.path("onfill", "M%d %dh14v5h-14zm0 7h14v5h-14zm3 -4.5h.1m-.1 7h.1", x-7, y-6)
	right := c.right() - cardPad
	for _, count := range []struct {
		n     int
		class string
	}{{c.Host.Problems.Errors, "errors"}, {c.Host.Problems.Warnings, "warnings"}} {
		if count.n > 0 {
			right = d.dot(count.class, right, c.Y+24, count.n)
		}
	}
	left := x + 26
	d.text("name", left, c.Y+28, bold(16).end(clean(c.Host.Name), 1000*(right-left-4)))
	sub := sans(11).middle(clean(c.Host.subtitle()), 1000*(c.right()-cardPad-left))
	d.text("t11 soft", left, c.Y+45, sub)
	d.path("rule", "M%d %dH%d", c.X+cardPad, c.Y+cardHead, c.right()-cardPad)
}

// subtitle is the full name if there is one, else where deployments go.
func (h Host) subtitle() string {
	switch {
	case h.Broken:
		return ""
	case h.FQDN != "":
		return h.FQDN
	case h.Target != nil:
		return h.Target.Text
	}
	return "not deployed remotely"
}

// dot draws a number of problems and returns where the next one ends.
func (d *drawing) dot(class string, right, y, n int) int {
	text := strconv.Itoa(n)
	w := max(18, sans(11).of(text)/1000+10)
	d.rect(class, Rect{right - w, y - 9, w, 18}, 9)
	d.text("t11 count mid", right-w/2, y+4, text)
	return right - w - 5
}

func (d *drawing) cardLine(c Card, l CardLine) {
	x := c.X + cardPad
	if l.Color == "" {
		d.text("t11 soft mono", x+14, l.Y+3, l.Left)
		return
	}
	d.group(l.Full, func() {
		d.circle("f"+l.Color, x+4, l.Y, 4)
		d.text("t12 mono", x+14, l.Y+4, l.Left)
		d.text("t11 soft end", c.right()-cardPad, l.Y+4, l.Right)
	})
}

func (d *drawing) disk(c Card, disk CardDisk) {
	x, y := c.X+cardPad, disk.Y
	d.group(disk.Full, func() {
		d.path("drive", "M%d %dh10v8h-10zm2.5 5.5h5", x+1, y-8)
		d.text("t11 soft", x+18, y, disk.Name)
		d.text("t11 soft end", c.right()-cardPad, y, disk.Note)
	})
	for _, m := range disk.Segments {
		d.group(m.Tip, func() {
			d.rect(m.Class, m.Rect, 3)
			if disk.Kept {
				d.printf(`<rect fill="url(#nsh-hatch)" x="%d" y="%d" width="%d" height="%d" rx="3"/>`, m.X, m.Y, m.W, m.H)
			}
			d.text("t10 seg mid", m.middle(), m.Y+11, m.Text)
		})
	}
}

func (d *drawing) legend(p Picture) {
	for _, m := range p.Legend {
		swatch := Rect{m.X, m.Y + 4, 12, 12}
		switch m.Class {
		case "errors", "warnings":
			d.circle(m.Class, m.X+6, m.Y+10, 6)
		case "kept":
			d.rect("other", swatch, 3)
			d.printf(`<rect fill="url(#nsh-hatch)" x="%d" y="%d" width="12" height="12" rx="3"/>`, swatch.X, swatch.Y)
		default:
			d.rect(m.Class, swatch, 3)
		}
		d.text("t11 soft", m.X+legendSwatch, m.Y+14, m.Text)
	}
}
