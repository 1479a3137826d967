package vm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Screenshot writes what the screen shows to a PNG file.
func (r *Running) Screenshot(ctx context.Context, file string) error {
	if err := r.screenshot(ctx, file); err != nil {
		return fmt.Errorf("screenshot of %s: %w", r.machine.Name, err)
	}
	return nil
}

// screenshot asks for the format that every QEMU can write: PNG is left out of some builds.
func (r *Running) screenshot(ctx context.Context, file string) error {
	raw := r.lab.socket() + ".ppm" // a name nobody else uses, in a folder nobody else reads
	defer os.Remove(raw)           //nolint:errcheck // it may not be there; the folder is removed with the lab
	if err := r.call(ctx, "screendump", args{"filename": raw}); err != nil {
		return err
	}
	in, err := os.Open(raw)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // it is only read
	picture, err := readPPM(bufio.NewReader(in))
	if err != nil {
		return err
	}
	out, err := os.OpenFile(filepath.Clean(file), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = png.Encode(out, picture)
	return errors.Join(err, out.Close())
}

// readPPM reads the format P6 with one byte for each colour, as QEMU writes it.
func readPPM(in io.Reader) (image.Image, error) {
	var width, height, most int
	if _, err := fmt.Fscanf(in, "P6\n%d %d\n%d\n", &width, &height, &most); err != nil {
		return nil, fmt.Errorf("read the picture: %w", err)
	}
	if width <= 0 || height <= 0 || width > 1<<14 || height > 1<<14 || most != 255 {
		return nil, fmt.Errorf("read the picture: it is %d by %d with %d shades", width, height, most)
	}
	pixels := make([]byte, 3*width*height)
	if _, err := io.ReadFull(in, pixels); err != nil {
		return nil, fmt.Errorf("read the picture: %w", err)
	}
	picture := image.NewRGBA(image.Rect(0, 0, width, height))
	for i := range width * height {
		p := pixels[3*i:]
		picture.SetRGBA(i%width, i/width, color.RGBA{p[0], p[1], p[2], 255})
	}
	return picture, nil
}

// keyPause lets a guest take one key before the next comes: its keyboard remembers sixteen.
const keyPause = 30 * time.Millisecond

// Type types text on the machine's keyboard, which has the American layout, as printable ASCII, line ends and tabs. Guests that need
// long for a key may lose some.
func (r *Running) Type(ctx context.Context, text string) error {
	for _, c := range text {
		if _, ok := keysOf(c); !ok {
			return fmt.Errorf("type on %s: there is no key for %q", r.machine.Name, c)
		}
	}
	for _, c := range text {
		keys, _ := keysOf(c)
		if err := r.Press(ctx, keys...); err != nil {
			return err
		}
	}
	return nil
}

// Press presses keys together and lets them go, such as ctrl alt delete. The names are QEMU's (QKeyCode in qapi/ui.json).
func (r *Running) Press(ctx context.Context, keys ...string) error {
	var pressed []args
	for _, k := range keys {
		pressed = append(pressed, args{"type": "qcode", "data": k})
	}
	if err := r.call(ctx, "send-key", args{"keys": pressed, "hold-time": keyPause.Milliseconds() / 2}); err != nil {
		return fmt.Errorf("press %s on %s: %w", strings.Join(keys, "-"), r.machine.Name, err)
	}
	select {
	case <-time.After(keyPause):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("type on %s: %w", r.machine.Name, context.Cause(ctx))
	}
}

// keysOf says which keys make a character.
func keysOf(c rune) ([]string, bool) {
	if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' {
		return []string{string(c)}, true
	}
	if 'A' <= c && c <= 'Z' {
		return []string{"shift", strings.ToLower(string(c))}, true
	}
	const shifted, digits = ")!@#$%^&*(", "0123456789"
	if i := strings.IndexRune(shifted, c); i >= 0 {
		return []string{"shift", digits[i : i+1]}, true
	}
	const plain, upper = " \n\t-=[];'`\\,./", "\x00\x00\x00_+{}:\"~|<>?"
	names := strings.Fields("spc ret tab minus equal bracket_left bracket_right semicolon apostrophe grave_accent backslash comma dot slash")
	if i := strings.IndexRune(plain, c); i >= 0 {
		return []string{names[i]}, true
	}
	if i := strings.IndexRune(upper, c); i >= 0 && c != 0 {
		return []string{"shift", names[i]}, true
	}
	return nil, false
}
