package vm

import (
	"strings"
	"testing"
)

func TestEveryPrintableCharacterHasKeys(t *testing.T) {
	seen := map[string]rune{}
	for c := rune(' '); c <= '~'; c++ {
		keys, ok := keysOf(c)
		if !ok {
			t.Errorf("%q has none", c)
			continue
		}
		name := strings.Join(keys, "-")
		if other, taken := seen[name]; taken {
			t.Errorf("%q and %q are both %s", other, c, name)
		}
		seen[name] = c
	}
	for c, want := range map[rune]string{'\n': "ret", '\t': "tab", '_': "shift-minus", '(': "shift-9", ')': "shift-0", '~': "shift-grave_accent", '|': "shift-backslash"} {
		if keys, _ := keysOf(c); strings.Join(keys, "-") != want {
			t.Errorf("%q: got %q, want %s", c, keys, want)
		}
	}
	for _, c := range "é\x00\x1b\u20ac" {
		if keys, ok := keysOf(c); ok {
			t.Errorf("%q: got %q", c, keys)
		}
	}
}

func TestPicturesAreRead(t *testing.T) {
	picture, err := readPPM(strings.NewReader("P6\n2 1\n255\nabc\x00\x00\xff"))
	if err != nil {
		t.Fatal(err)
	}
	if r, g, b, _ := picture.At(1, 0).RGBA(); picture.Bounds().Dx() != 2 || r != 0 || g != 0 || b != 0xffff {
		t.Errorf("got %v: %d %d %d", picture.Bounds(), r, g, b)
	}
	for _, text := range []string{"", "P5\n1 1\n255\nabc", "P6\n2 1\n255\nabc", "P6\n-1 1\n255\n", "P6\n1 1\n65535\nabcdef", "P6\n99999 99999\n255\n"} {
		if _, err := readPPM(strings.NewReader(text)); err == nil {
			t.Errorf("%q was taken for a picture", text)
		}
	}
}
