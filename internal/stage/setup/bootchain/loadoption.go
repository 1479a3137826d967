package bootchain

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
)

// loadOption is what a variable Boot#### holds (UEFI 2.10, 3.1.3).
type loadOption struct {
	attributes  uint32
	description string
	path        []byte // device path, its end included
	optional    []byte // for the program that is started
}

// loadActive marks an option that the firmware may start.
const loadActive = 1

func (o loadOption) active() bool { return o.attributes&loadActive != 0 }

// readLoadOption reads the value of a variable, without its attributes.
func readLoadOption(b []byte) (loadOption, error) {
	if len(b) < 8 {
		return loadOption{}, errors.New("a load option of less than 8 bytes")
	}
	o := loadOption{attributes: binary.LittleEndian.Uint32(b)}
	length := int(binary.LittleEndian.Uint16(b[4:]))
	text, rest, ok := cutText(b[6:])
	if !ok {
		return loadOption{}, errors.New("the description of a load option does not end")
	}
	if length > len(rest) {
		return loadOption{}, fmt.Errorf("the device path of a load option has %d bytes of %d", len(rest), length)
	}
	o.description, o.path, o.optional = text, rest[:length], rest[length:]
	return o, nil
}

func (o loadOption) bytes() []byte {
	b := binary.LittleEndian.AppendUint32(nil, o.attributes)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(o.path)))
	b = append(b, putText(o.description)...)
	b = append(b, o.path...)
	return append(b, o.optional...)
}

// cutText reads UTF-16 up to its terminating zero.
func cutText(b []byte) (text string, rest []byte, ok bool) {
	var units []uint16
	for len(b) >= 2 {
		u := binary.LittleEndian.Uint16(b)
		b = b[2:]
		if u == 0 {
			return string(utf16.Decode(units)), b, true
		}
		units = append(units, u)
	}
	return "", nil, false
}

func putText(text string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(text)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return append(b, 0, 0)
}

// Types of device path nodes (UEFI 2.10, 10.3).
const (
	nodeMedia    = 0x04
	mediaDrive   = 0x01
	mediaFile    = 0x04
	nodeEnd      = 0x7f
	endAll       = 0xff
	formatGPT    = 0x02
	signatureGPT = 0x02
)

// program is a file on a partition: the short form of a device path that firmware finds on whichever controller.
type program struct {
	number      uint32 // of the partition
	start, size uint64 // in logical blocks
	guid        string // of the partition, lower case
	file        string // with backslashes
}

// path writes the device path.
func (p program) path() ([]byte, error) {
	guid, err := guidBytes(p.guid)
	if err != nil {
		return nil, err
	}
	drive := binary.LittleEndian.AppendUint32(nil, p.number)
	drive = binary.LittleEndian.AppendUint64(drive, p.start)
	drive = binary.LittleEndian.AppendUint64(drive, p.size)
	drive = append(append(drive, guid...), formatGPT, signatureGPT)
	b := appendNode(nil, nodeMedia, mediaDrive, drive)
	b = appendNode(b, nodeMedia, mediaFile, putText(p.file))
	return appendNode(b, nodeEnd, endAll, nil), nil
}

func appendNode(b []byte, kind, sub byte, content []byte) []byte {
	b = append(b, kind, sub)
	b = binary.LittleEndian.AppendUint16(b, uint16(4+len(content)))
	return append(b, content...)
}

// readProgram reads a device path that leads to a file on a partition of a GPT disk; false for all others. What comes before the partition, the
// controller, is passed over.
func readProgram(b []byte) (p program, ok bool) {
	for len(b) >= 4 {
		kind, sub, length := b[0], b[1], int(binary.LittleEndian.Uint16(b[2:]))
		if length < 4 || length > len(b) {
			return program{}, false
		}
		content := b[4:length]
		b = b[length:]
		switch {
		case kind == nodeEnd:
			return p, p.guid != ""
		case kind == nodeMedia && sub == mediaDrive:
			if len(content) != 38 || content[37] != signatureGPT {
				return program{}, false
			}
			p.number = binary.LittleEndian.Uint32(content)
			p.start, p.size = binary.LittleEndian.Uint64(content[4:]), binary.LittleEndian.Uint64(content[12:])
			p.guid = guidText([16]byte(content[20:36]))
		case kind == nodeMedia && sub == mediaFile:
			text, _, ended := cutText(content)
			if !ended {
				return program{}, false
			}
			p.file = joinFile(p.file, text)
		}
	}
	return program{}, false
}

// joinFile puts a path together that was told in pieces.
func joinFile(a, b string) string {
	if a == "" || strings.HasSuffix(a, `\`) || strings.HasPrefix(b, `\`) {
		return a + b
	}
	return a + `\` + b
}

// same reports whether both are the same file of the same partition. Firmware compares names without regard to case.
func (p program) same(o program) bool {
	return p.number == o.number && p.guid == o.guid && strings.EqualFold(p.file, o.file)
}

// guidBytes writes a GUID as UEFI keeps it: the first three fields with the lowest byte first.
func guidBytes(guid string) ([]byte, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(guid, "-", ""))
	if err != nil || len(b) != 16 {
		return nil, fmt.Errorf("%q is no GUID", guid)
	}
	swap(b)
	return b, nil
}

func guidText(b [16]byte) string {
	swap(b[:])
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

func swap(b []byte) {
	b[0], b[1], b[2], b[3] = b[3], b[2], b[1], b[0]
	b[4], b[5] = b[5], b[4]
	b[6], b[7] = b[7], b[6]
}
