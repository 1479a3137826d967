package summary

import (
	"cmp"
	"slices"
	"strings"
)

// Rect is a place in the picture, in CSS pixels from the top left corner.
type Rect struct{ X, Y, W, H int }

func (r Rect) right() int  { return r.X + r.W }
func (r Rect) bottom() int { return r.Y + r.H }
func (r Rect) middle() int { return r.X + r.W/2 }

// Picture says where everything goes: what [Summary.SVG] draws, computed before a single line of it is written.
type Picture struct {
	Width, Height int
	Bands         []Band
	Legend        []Mark

	uplink int // y of the uplink symbol's centre, 0 without one
	legend Rect
}

// Band is a network with the cards of the hosts that stand in it.
type Band struct {
	Rect
	Network Network
	Cards   []Card
	Guests  []Mark // hosts that are attached but drawn elsewhere

	color  string // suffix of the style classes
	router string // colour of the router symbol: of the network the gateway's host stands in, if it is one of ours
	hosts  int    // cards and guests, each host once
	portX  int    // centre of the router symbol, left of the band
	feedY  int    // height of the wire that leads to a band beside another one; 0 for the first of a row
}

// Mark is a word with a shape around or before it: a badge, a legend entry, a guest.
type Mark struct {
	Rect
	Text  string
	Tip   string // the whole of it
	Class string
	Color string // of a dot before the text; empty without one
}

// Card is a host.
type Card struct {
	Rect
	Host   Host
	Lines  []CardLine
	Disks  []CardDisk
	Badges []Mark
}

// CardLine is an address or a MAC address. Color is empty for text that belongs to the line before.
type CardLine struct {
	Y                 int
	Left, Right, Full string
	Color             string
}

// CardDisk is a disk with its bar.
type CardDisk struct {
	Y          int
	Name, Full string
	Note       string
	Kept       bool
	Segments   []Mark
}

const (
	margin     = 28
	gutter     = 72 // left of the bands, where the trunk runs
	headHeight = 118
	uplinkRoom = 58
	bandHead   = 46
	bandPad    = 22
	bandGap    = 26
	bandSpace  = 58 // between bands side by side, with the router symbol in it
	spine      = 16 // from the band's left edge
	cardWidth  = 296
	cardPad    = 16
	cardGap    = 20
	rowGap     = 34 // between rows of cards, with the bus in it
	cardHead   = 58
	lineHeight = 17
	diskHeight = 36
	barHeight  = 15
	markHeight = 20

	mostLines    = 6
	mostDisks    = 4
	mostSegments = 10
	mostGuests   = 24
	mostColumns  = 8
)

// inner is the room for text in a card.
const inner = cardWidth - 2*cardPad

// palette is the number of colours for networks; they repeat after that.
const palette = 8

// Layout places a summary. It takes the number of columns that comes closest to the shape of a page lying on its side,
// with few empty places.
func Layout(s Summary) Picture {
	cards := s.cards()
	var best Picture
	cost := 0
	for columns := 1; columns <= max(1, min(mostColumns, len(s.Hosts))); columns++ {
		p := s.layColumns(cards, columns)
		if c := p.cost(); columns == 1 || c < cost {
			best, cost = p, c
		}
	}
	return best
}

// cost is how far the picture is from the shape of a page, and how much of it is not cards, in thousandths.
func (p Picture) cost() int {
	ratio, cards := p.Width*1000/p.Height, 0
	for _, b := range p.Bands {
		for _, c := range b.Cards {
			cards += c.W * c.H
		}
	}
	return max(ratio-1350, 1350-ratio) - 2*cards*1000/(p.Width*p.Height)
}

// layColumns places bands below each other, and small ones side by side.
func (s Summary) layColumns(cards map[string][]Card, columns int) Picture {
	width := bandWidth(columns)
	p := Picture{Width: gutter + width + margin}
	y := headHeight
	if slices.ContainsFunc(s.Networks, Network.leads) {
		p.uplink = y + uplinkRoom/2 - 8
		y += uplinkRoom
	}
	for _, shelf := range shelves(s.bands(cards), width) {
		y = placeShelf(shelf, y, width, s) + bandGap
		p.Bands = append(p.Bands, shelf...)
	}
	p.legend = Rect{gutter, y - 4, width, 0}
	p.Legend = legend(s)
	p.legend.H = flow(p.Legend, p.legend, 14)
	p.Height = p.legend.bottom() + margin
	return p
}

func bandWidth(columns int) int {
	return spine + 2*bandPad + columns*cardWidth + (columns-1)*cardGap
}

func (s Summary) bands(cards map[string][]Card) []Band {
	colors := s.colors()
	var out []Band
	for _, n := range s.Networks {
		b := Band{Network: n, color: colors[n.ID], router: colors[n.ID], hosts: countHosts(n), Cards: cards[n.ID]}
		for _, h := range s.Hosts {
			if n.Via != "" && h.Name == n.Via {
				b.router = colors[h.Network]
			}
		}
		out = append(out, b)
	}
	return out
}

// shelves fills rows with bands, in order. A band is as wide as its cards side by side; one without cards, which has
// room for few words only, is as wide as two.
func shelves(bands []Band, width int) [][]Band {
	var out [][]Band
	left := 0
	for _, b := range bands {
		columns := len(b.Cards)
		if columns == 0 {
			columns = 2
		}
		b.W = min(bandWidth(columns), width)
		if b.W+bandSpace > left {
			out, left = append(out, nil), width+bandSpace
		}
		out[len(out)-1] = append(out[len(out)-1], b)
		left -= b.W + bandSpace
	}
	return out
}

// placeShelf places the bands of a row and returns where it ends. The last one takes what is left of the width.
func placeShelf(shelf []Band, y, width int, s Summary) int {
	x, height := gutter, 0
	for i := range shelf {
		b := &shelf[i]
		b.X, b.Y, b.portX = x, y, gutter/2
		if i > 0 {
			b.portX, b.feedY = x-bandSpace/2, y-bandGap/2
		}
		if b.Network.Via != "" {
			b.portX = b.X
		}
		if i == len(shelf)-1 {
			b.W = gutter + width - x
		}
		b.place(s)
		x = b.right() + bandSpace
		height = max(height, b.H)
	}
	for i := range shelf {
		shelf[i].H = height
	}
	return y + height
}

// colors gives every network its colour by id.
func (s Summary) colors() map[string]string {
	out := map[string]string{}
	for i := range s.Networks {
		out[s.Networks[i].ID] = colorOf(s.Networks, i)
	}
	return out
}

// colorOf gives DHCP and "none" greys of their own.
func colorOf(nets []Network, i int) string {
	switch nets[i].ID {
	case dhcpID:
		return "d"
	case noneID:
		return "x"
	}
	return string(rune('0' + i%palette))
}

// place puts the cards into rows, as many side by side as the band is wide; all of a row are as high as the highest.
func (b *Band) place(s Summary) {
	left, y := b.X+spine+bandPad, b.Y+bandHead+20
	columns := max(1, (b.W-spine-2*bandPad+cardGap)/(cardWidth+cardGap))
	cards := b.Cards
	b.Cards = nil
	for row := range slices.Chunk(cards, columns) {
		height := 0
		for _, c := range row {
			height = max(height, c.H)
		}
		for i, c := range row {
			b.Cards = append(b.Cards, c.moved(left+i*(cardWidth+cardGap), y, height))
		}
		y += height + rowGap
	}
	if len(b.Cards) > 0 {
		y += 20 - rowGap
	} else {
		y = b.Y + bandHead
	}
	b.Guests = guestMarks(b.Network.guests(s.Hosts), s)
	if len(b.Guests) > 0 {
		y += flow(b.Guests, Rect{left, y, b.right() - bandPad - left, 0}, 6) + 16
	}
	b.H = y - b.Y
}

func countHosts(n Network) int {
	seen := map[string]bool{}
	for _, m := range n.Members {
		seen[m.Host] = true
	}
	return len(seen)
}

// guestMarks names each guest once, with its first address and the colour of the network it stands in.
func guestMarks(guests []Attachment, s Summary) []Mark {
	home := map[string]string{}
	for _, h := range s.Hosts {
		home[h.Name] = h.Network
	}
	colors := s.colors()
	at := map[string]int{}
	var out []Mark
	for _, g := range guests {
		full := strings.Join(present(g.Interface, g.Address), " ")
		if i, ok := at[g.Host]; ok {
			out[i].Tip += ", " + clean(full)
			continue
		}
		at[g.Host] = len(out)
		address, _, _ := strings.Cut(g.Address, "/")
		text := mark().middle(strings.Join(cleanAll(present(g.Host, address)), "  "), 1000*(inner-guestPad))
		out = append(out, newGuest(text, g.Host+": "+full, colors[home[g.Host]]))
	}
	if more := len(out) - mostGuests; more > 0 {
		text := "+" + plural(more, "more host")
		out = append(out[:mostGuests], newMark(text, text, "guest"))
	}
	return out
}

const guestPad = 30

func newGuest(text, tip, color string) Mark {
	m := newMark(text, tip, "guest")
	m.W += guestPad - markPad
	m.Color = color
	return m
}

// mark measures the text of marks.
func mark() measure { return sans(10) }

const markPad = 14

// newMark makes a mark as wide as its text.
func newMark(text, tip, class string) Mark {
	return Mark{Rect: Rect{W: mark().of(text)/1000 + markPad, H: markHeight}, Text: clean(text), Tip: clean(tip), Class: class}
}

// flow sets marks into lines within the box and returns the height they take.
func flow(marks []Mark, box Rect, space int) int {
	x, y := box.X, box.Y
	for i := range marks {
		if x > box.X && x+marks[i].W > box.right() {
			x, y = box.X, y+markHeight+6
		}
		marks[i].X, marks[i].Y = x, y
		x += marks[i].W + space
	}
	if len(marks) == 0 {
		return 0
	}
	return y + markHeight - box.Y
}

// cards makes the card of every host, by network and sorted by address. Their places are relative until a band moves
// them.
func (s Summary) cards() map[string][]Card {
	colors := s.colors()
	order := map[string]int{}
	for _, n := range s.Networks {
		for k, m := range slices.Backward(n.Members) {
			order[n.ID+" "+m.Host] = k
		}
	}
	out := map[string][]Card{}
	for _, h := range s.Hosts {
		out[h.Network] = append(out[h.Network], s.card(h, colors))
	}
	for id, cards := range out {
		slices.SortStableFunc(cards, func(a, b Card) int {
			return cmp.Compare(order[id+" "+a.Host.Name], order[id+" "+b.Host.Name])
		})
	}
	return out
}

func (s Summary) card(h Host, colors map[string]string) Card {
	c := Card{Host: h, Rect: Rect{W: cardWidth}}
	y := cardHead + 18
	c.Lines = s.cardLines(h, colors)
	for i := range c.Lines {
		c.Lines[i].Y = y
		y += lineHeight
	}
	c.Disks = cardDisks(h)
	y += 7
	for i := range c.Disks {
		c.Disks[i].place(y)
		y += diskHeight
	}
	c.Badges = badges(h)
	c.H = y + flow(c.Badges, Rect{cardPad, y, inner, 0}, 4) + cardPad
	return c
}

// moved puts a card to its final place, with the badges at its lower edge.
func (c Card) moved(x, y, height int) Card {
	lower := height - c.H
	c.X, c.Y, c.H = x, y, height
	c.Lines, c.Disks, c.Badges = slices.Clone(c.Lines), slices.Clone(c.Disks), slices.Clone(c.Badges)
	for i := range c.Lines {
		c.Lines[i].Y += y
	}
	for i := range c.Disks {
		c.Disks[i].Y += y
		c.Disks[i].Segments = slices.Clone(c.Disks[i].Segments)
		for k := range c.Disks[i].Segments {
			c.Disks[i].Segments[k].X += x
			c.Disks[i].Segments[k].Y += y
		}
	}
	for i := range c.Badges {
		c.Badges[i].X += x
		c.Badges[i].Y += y + lower
	}
	return c
}

// cardLines shows each address with its interface, and the MAC address of the first: the one a router wants to know.
func (s Summary) cardLines(h Host, colors map[string]string) []CardLine {
	if h.Broken {
		return []CardLine{{Left: "does not evaluate", Full: "does not evaluate", Color: "x"}}
	}
	var out []CardLine
	for n, i := range h.Interfaces {
		for k, a := range i.addressTexts() {
			line := newCardLine(a, cmp.Or(i.Name, i.MAC), k == 0)
			line.Color = cmp.Or(colors[s.networkOf(h.Name, i, a)], "x")
			out = append(out, line)
		}
		if n == 0 && i.MAC != "" && i.Name != "" {
			out = append(out, CardLine{Left: clean(i.MAC), Full: clean(i.MAC)})
		}
	}
	if len(out) == 0 {
		return []CardLine{{Left: "no address", Full: "no address", Color: "x"}}
	}
	if more := len(out) - mostLines; more > 0 {
		out = append(out[:mostLines-1], CardLine{Left: "+" + plural(more+1, "more line"), Full: h.tip()})
	}
	return out
}

// newCardLine gives the address the room it needs and the interface what is left.
func newCardLine(address, iface string, first bool) CardLine {
	const room = inner - 14
	address, iface = clean(address), clean(iface)
	line := CardLine{Left: measure(mono).middle(address, 1000*room), Full: strings.Join(present(iface, address), " ")}
	left := 1000*room - measure(mono).of(line.Left) - 12000 // thousandths, as all measures
	if first && left > 30000 {
		line.Right = sans(11).middle(iface, left)
	}
	return line
}

// networkOf finds the network of an address of a host.
func (s Summary) networkOf(host string, i Interface, address string) string {
	for _, n := range s.Networks {
		for _, m := range n.Members {
			same := m.Address == address || (m.Address == dhcpID && strings.HasPrefix(address, dhcpID))
			if m.Host == host && m.Interface == cmp.Or(i.Name, i.MAC) && same {
				return n.ID
			}
		}
	}
	return ""
}

func badges(h Host) []Mark {
	var out []Mark
	add := func(text, tip, class string) {
		if text != "" {
			out = append(out, newMark(mark().end(clean(text), 1000*(inner-markPad)), tip, class))
		}
	}
	if h.Member != nil {
		class := "agent"
		if h.Member.Role == "server" {
			class = "server"
		}
		add("k3s "+h.Member.Role, "K3s "+roleText(h.Member), class)
	}
	if h.IsGateway {
		add("gateway", "other hosts reach the outside through it", "gate")
	}
	if h.Boot.Loader != "" {
		add(strings.Join(present(firmwareBadge(h.Boot.Firmware), h.Boot.Loader), " · "), "boot: "+h.Boot.Text, "badge")
	}
	add(pinned("NixOS ", h.NixOS.Release), "NixOS "+h.NixOS.Version, "badge")
	add(strings.TrimSuffix(h.System, "-linux"), "platform "+h.System, platformClass(h.System))
	return out
}

// platformClass marks what is not a PC, which is easily overlooked.
func platformClass(system string) string {
	if strings.HasPrefix(system, "x86_64") {
		return "badge"
	}
	return "board"
}

func cardDisks(h Host) []CardDisk {
	var out []CardDisk
	for _, d := range h.Disks {
		if len(out) == mostDisks-1 && len(h.Disks) > mostDisks {
			rest := "+" + plural(len(h.Disks)-len(out), "more disk")
			return append(out, CardDisk{Name: rest, Full: strings.Join(cleanAll(h.diskTexts()), "\n")})
		}
		out = append(out, newCardDisk(d))
	}
	if len(out) == 0 && len(h.FileSystems) > 0 {
		out = append(out, plainDisk(h))
	}
	return out
}

func newCardDisk(d Disk) CardDisk {
	parts := d.Partitions
	if len(parts) == 0 {
		whole := Partition{Name: d.Table, Content: d.Table, Use: wholeUse(d.Table)}
		parts = []Partition{whole}
	}
	parts = parts[:min(len(parts), mostSegments)]
	sizes := make([]string, len(parts))
	for i, p := range parts {
		sizes[i] = p.Size
	}
	c := CardDisk{Full: clean(d.text()), Kept: d.Kept}
	switch {
	case d.Kept:
		c.Note = "kept"
	case d.Table != "gpt" && len(d.Partitions) > 0:
		c.Note = clean(d.Table)
	}
	room := 1000*(inner-28) - sans(11).of(c.Note)
	c.Name = sans(11).middle(clean(d.place()), room)
	c.segments(parts, sizes)
	return c
}

// wholeUse is for a disk without partitions.
func wholeUse(table string) string {
	switch table {
	case "zfs", "luks":
		return table
	case "lvm_pv":
		return "lvm"
	case "mdraid":
		return "raid"
	case "filesystem", "btrfs":
		return "data"
	}
	return "other"
}

// plainDisk stands for the disks of a host without disko: devices, each with what is mounted from it, all alike since
// nothing is known of their sizes.
func plainDisk(h Host) CardDisk {
	var parts []Partition
	seen := map[string]bool{}
	for _, f := range h.FileSystems {
		if seen[f.Device] && f.Device != "" {
			continue
		}
		seen[f.Device] = true
		parts = append(parts, Partition{Name: f.MountPoint, Format: f.Type, MountPoint: f.MountPoint, Use: mountUse(f, h.Boot.ESP)})
	}
	for _, s := range h.Swap {
		parts = append(parts, Partition{Name: shortDevice(s), Content: "swap", Use: "swap"})
	}
	parts = parts[:min(len(parts), mostSegments)]
	c := CardDisk{Name: "file systems, no disko", Full: strings.Join(cleanAll(h.diskTexts()), "\n")}
	c.segments(parts, make([]string, len(parts)))
	return c
}

func mountUse(f FileSystem, esp string) string {
	switch {
	case f.Type == "zfs":
		return "zfs"
	case esp != "" && f.MountPoint == esp:
		return "esp"
	case f.MountPoint == "/":
		return "root"
	case strings.HasPrefix(f.Type, "ntfs"):
		return "foreign"
	}
	return "data"
}

func (c *CardDisk) segments(parts []Partition, sizes []string) {
	const between = 2
	x := cardPad
	for i, w := range shares(sizes, inner-between*(len(parts)-1), 6) {
		p := parts[i]
		tip := strings.Join(present(p.text(), p.Size), ", ")
		m := Mark{Rect: Rect{x, 0, w, barHeight}, Tip: clean(tip), Class: p.Use}
		for _, text := range []string{p.caption(), p.MountPoint, p.Use} {
			if text != "" && sans(10).of(clean(text)) <= 1000*(w-4) {
				m.Text = clean(text)
				break
			}
		}
		c.Segments = append(c.Segments, m)
		x += w + between
	}
}

// caption is the longest thing worth writing on a partition.
func (p Partition) caption() string {
	switch p.Use {
	case "esp":
		return strings.Join(present("ESP", p.MountPoint), " ")
	case "zfs", "lvm", "raid", "luks", "swap":
		return strings.Join(present(p.Use, p.Pool), " ")
	case "bios":
		return "boot"
	case "root", "data":
		return strings.Join(present(p.MountPoint, cmp.Or(p.Format, p.Content)), " ")
	}
	return cmp.Or(p.Name, p.Use)
}

func (c *CardDisk) place(y int) {
	c.Y = y
	for i := range c.Segments {
		c.Segments[i].Y = y + 5
	}
}

// uses are the kinds of content in the order of the legend, with what a person calls them.
func uses() [][2]string {
	return [][2]string{
		{"esp", "EFI system"},
		{"bios", "BIOS boot"},
		{"root", "root"},
		{"data", "other file system"},
		{"swap", "swap"},
		{"luks", "encrypted"},
		{"zfs", "ZFS"},
		{"lvm", "LVM"},
		{"raid", "RAID"},
		{"foreign", "another system"},
		{"other", "other"},
	}
}

const legendSwatch = 18 // with the blank after it

// legend explains what the picture shows, and nothing else.
func legend(s Summary) []Mark {
	seen := map[string]bool{}
	kept := false
	for _, h := range s.Hosts {
		for _, d := range cardDisks(h) {
			kept = kept || d.Kept
			for _, m := range d.Segments {
				seen[m.Class] = true
			}
		}
	}
	var out []Mark
	add := func(shown bool, text, class string) {
		if shown {
			m := newMark(text, "", class)
			m.W = legendSwatch + sans(11).of(text)/1000
			out = append(out, m)
		}
	}
	for _, u := range uses() {
		add(seen[u[0]], u[1], u[0])
	}
	add(kept, "kept: never formatted", "kept")
	add(s.Totals.Errors > 0, "errors", "errors")
	add(s.Totals.Warnings > 0, "warnings", "warnings")
	return out
}

// tip is all that a card has no room for.
func (h Host) tip() string {
	lines := present(cmp.Or(h.FQDN, h.HostName))
	for _, i := range h.Interfaces {
		words := append(present(i.Name, i.MAC), i.addressTexts()...)
		lines = append(lines, strings.Join(words, "  "))
	}
	lines = append(lines, h.diskTexts()...)
	lines = append(lines, present(h.Boot.Text, pinned("kernel ", h.Boot.Kernel), pinned("NixOS ", h.NixOS.Version), roleText(h.Member))...)
	if h.Target != nil {
		lines = append(lines, "deployed to "+h.Target.Text)
	}
	lines = append(lines, problemLines(h.Problems)...)
	return strings.Join(cleanAll(lines), "\n")
}
