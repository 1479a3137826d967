package console

import (
	"fmt"
	"image"
	"image/color"
	"strings"

	"github.com/boombuler/barcode/qr"

	"nixos-staged-hive/internal/ui"
)

// quiet is the light border around a QR code, in modules. The standard asks for 4, phones do with 2, and the rows of a console are few.
const quiet = 2

// qrLines draws a QR code with half blocks, which the fonts of consoles have (code page 437): two modules a character. Light modules are
// drawn and dark ones left out, because the background is dark.
//
// The code is made by github.com/boombuler/barcode: released in 2025, without dependencies, and it tries all masks, which rsc.io/qr (2018)
// does not.
func qrLines(text string) ([]ui.Line, error) {
	code, err := qr.Encode(text, qr.L, qr.Auto) // a screen has no dirt to correct
	if err != nil {
		return nil, fmt.Errorf("make a QR code of %q: %w", text, err)
	}
	size := code.Bounds().Dx()
	var lines []ui.Line
	for y := -quiet; y < size+quiet; y += 2 {
		var row strings.Builder
		for x := -quiet; x < size+quiet; x++ {
			row.WriteRune(halfBlock(light(code, x, y), light(code, x, y+1) && y+1 < size+quiet))
		}
		lines = append(lines, ui.Line{{Tone: ui.Scanned, Text: row.String()}})
	}
	return lines, nil
}

func light(code image.Image, x, y int) bool {
	if !(image.Point{X: x, Y: y}.In(code.Bounds())) {
		return true
	}
	return color.GrayModel.Convert(code.At(x, y)) != color.Gray{}
}

func halfBlock(upper, lower bool) rune {
	switch {
	case upper && lower:
		return '█'
	case upper:
		return '▀'
	case lower:
		return '▄'
	}
	return ' '
}
