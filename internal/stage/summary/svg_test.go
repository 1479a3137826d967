package summary

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// elements reads an SVG strictly as XML: text by element name, and all attributes.
func elements(t *testing.T, svg []byte) (text map[string][]string, attrs []xml.Attr) {
	t.Helper()
	text = map[string][]string{}
	var open []string
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return text, attrs
		}
		if err != nil {
			t.Fatalf("not XML: %v", err)
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			open = append(open, tok.Name.Local)
			attrs = append(attrs, tok.Attr...)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if s := strings.TrimSpace(string(tok)); s != "" {
				name := open[len(open)-1]
				text[name] = append(text[name], s)
			}
		}
	}
}

func TestThePictureIsXMLWithNothingFromOutside(t *testing.T) {
	allowed := []string{
		"svg", "title", "desc", "style", "defs", "pattern", "path", "rect", "g", "text", "circle",
	}
	for name, in := range samples() {
		svg := New(in).SVG()
		text, attrs := elements(t, svg)
		for element := range text {
			if !slices.Contains(allowed, element) {
				t.Errorf("%s: there is a %s in the picture", name, element)
			}
		}
		for _, a := range attrs {
			if a.Name.Local == "href" || strings.HasPrefix(a.Name.Local, "on") || a.Value == "" {
				t.Errorf("%s: attribute %s=%q", name, a.Name.Local, a.Value)
			}
			if strings.Contains(a.Value, "url(") && a.Value != "url(#nsh-hatch)" {
				t.Errorf("%s: reference to %s", name, a.Value)
			}
		}
		if strings.Contains(text["style"][0], "url(") || strings.Contains(text["style"][0], "@import") {
			t.Errorf("%s: the style loads something", name)
		}
	}
}

func TestNamesAreTextInThePicture(t *testing.T) {
	in := nastyHosts()
	text, _ := elements(t, New(in).SVG())
	if len(text["script"]) > 0 {
		t.Error("a name became an element")
	}
	titles := strings.Join(text["title"], "\n")
	for _, h := range in.Hive.Hosts {
		if !strings.Contains(titles, clean(h.Name)) {
			t.Errorf("the whole name %q is in no tooltip", clean(h.Name))
		}
	}
}

func TestThePictureIsReadToThoseWhoCannotSeeIt(t *testing.T) {
	text, _ := elements(t, New(fourHosts()).SVG())
	want := "4 hosts, 2 networks. 192.168.1.0/24: web 192.168.1.10/24, desk 192.168.1.20/24, attic 192.168.1.30/24. DHCP: pi dhcp."
	if text["title"][0] != "home" || text["desc"][0] != want {
		t.Errorf("title %q, description %q", text["title"][0], text["desc"][0])
	}
}

// within reports whether r lies inside of box.
func (r Rect) within(box Rect) bool {
	return r.X >= box.X && r.Y >= box.Y && r.right() <= box.right() && r.bottom() <= box.bottom()
}

func (r Rect) overlaps(o Rect) bool {
	return r.X < o.right() && o.X < r.right() && r.Y < o.bottom() && o.Y < r.bottom()
}

func TestNothingOverlapsOrLeavesItsPlace(t *testing.T) {
	all := samples()
	for n := 1; n <= 50; n += 3 {
		in := fiftyHosts()
		in.Hive.Hosts = in.Hive.Hosts[50-n:]
		all[fmt.Sprint(n)] = in
	}
	for name, in := range all {
		p := Layout(New(in))
		page := Rect{0, 0, p.Width, p.Height}
		var bands, cards []Rect
		for _, b := range p.Bands {
			inside(t, name+": band", []Rect{b.Rect}, page)
			inside(t, name+": guest", rects(b.Guests), b.Rect)
			apart(t, name+": guests", rects(b.Guests))
			bands = append(bands, b.Rect)
			for _, c := range b.Cards {
				inside(t, name+": card", []Rect{c.Rect}, b.Rect)
				cards = append(cards, c.Rect)
				checkCard(t, name+": "+c.Host.Name, c)
			}
		}
		apart(t, name+": bands", bands)
		apart(t, name+": cards", cards)
		apart(t, name+": legend", rects(p.Legend))
		inside(t, name+": legend", rects(p.Legend), page)
	}
}

func checkCard(t *testing.T, name string, c Card) {
	t.Helper()
	parts := rects(c.Badges)
	for _, d := range c.Disks {
		parts = append(parts, rects(d.Segments)...)
	}
	for _, l := range c.Lines {
		parts = append(parts, Rect{c.X + cardPad, l.Y - 7, inner, 12})
		if room := measure(mono).of(l.Left) + sans(11).of(l.Right); room > 1000*inner {
			t.Errorf("%s: line %q %q is too long", name, l.Left, l.Right)
		}
	}
	inside(t, name, parts, c.Rect)
	apart(t, name, parts)
}

func rects(marks []Mark) []Rect {
	var out []Rect
	for _, m := range marks {
		out = append(out, m.Rect)
	}
	return out
}

func inside(t *testing.T, what string, rects []Rect, box Rect) {
	t.Helper()
	for _, r := range rects {
		if !r.within(box) {
			t.Errorf("%s: %v is not within %v", what, r, box)
		}
	}
}

func apart(t *testing.T, what string, rects []Rect) {
	t.Helper()
	for i, a := range rects {
		for _, b := range rects[i+1:] {
			if a.overlaps(b) {
				t.Errorf("%s: %v overlaps %v", what, a, b)
			}
		}
	}
}

func TestABarHoldsTheWholeDisk(t *testing.T) {
	for _, b := range Layout(New(twelveHosts())).Bands {
		for _, c := range b.Cards {
			for _, d := range c.Disks {
				if n := len(d.Segments); n > 0 && d.Segments[n-1].right() != c.X+cardPad+inner {
					t.Errorf("%s: the bar of %s ends at %d", c.Host.Name, d.Name, d.Segments[n-1].right()-c.X)
				}
			}
		}
	}
}

func TestALongListIsCutAndSaysSo(t *testing.T) {
	in := oneHost()
	h := &in.Hive.Hosts[0]
	for i := range 40 {
		h.Network.Interfaces[0].Addresses = append(h.Network.Interfaces[0].Addresses, fmt.Sprintf("10.0.%d.1/24", i))
		h.Storage.Disks = append(h.Storage.Disks, uefiDisk(fmt.Sprintf("/dev/disk/by-id/scsi-%d", i)))
	}
	c := Layout(New(in)).Bands[0].Cards[0]
	if n := len(c.Lines); n != mostLines || c.Lines[n-1].Left != "+36 more lines" {
		t.Errorf("%d lines, the last %q", n, c.Lines[n-1].Left)
	}
	if n := len(c.Disks); n != mostDisks || c.Disks[n-1].Name != "+38 more disks" {
		t.Errorf("%d disks, the last %q", n, c.Disks[n-1].Name)
	}
}

func BenchmarkPictureOfFiftyHosts(b *testing.B) {
	in := fiftyHosts()
	for b.Loop() {
		New(in).SVG()
	}
}

func BenchmarkTableOfFiftyHosts(b *testing.B) {
	in := fiftyHosts()
	for b.Loop() {
		New(in).Table(120)
	}
}
