package guest

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// archive is a cpio archive in the format of Linux' initial root (Documentation/driver-api/early-userspace/buffer-format.rst): "newc".
// Everything in it is root's, and folders come before what is in them.
type archive struct {
	entries map[string]entry // by path without leading slash
}

type entry struct {
	mode    uint32 // type and permissions as in stat(2)
	content []byte // of a link: its target
}

const (
	typeDir  = 0o040000
	typeFile = 0o100000
	typeLink = 0o120000
)

func newArchive() *archive { return &archive{map[string]entry{}} }

func (a *archive) file(name string, permissions uint32, content []byte) {
	a.put(name, entry{typeFile | permissions, content})
}

func (a *archive) link(name, target string) { a.put(name, entry{typeLink | 0o777, []byte(target)}) }

func (a *archive) dir(name string) { a.put(name, entry{typeDir | 0o755, nil}) }

// put adds the folders above as well.
func (a *archive) put(name string, e entry) {
	name = strings.Trim(path.Clean(name), "/")
	if parent := path.Dir(name); parent != "." {
		if _, known := a.entries[parent]; !known {
			a.dir(parent)
		}
	}
	a.entries[name] = e
}

// close gives the bytes: sorted by name, so that the same contents are the same bytes.
func (a *archive) close() []byte {
	var out bytes.Buffer
	for number, name := range slices.Sorted(maps.Keys(a.entries)) {
		a.entries[name].write(&out, number+1, name)
	}
	entry{}.write(&out, 0, "TRAILER!!!")
	return out.Bytes()
}

func (e entry) write(out *bytes.Buffer, number int, name string) {
	links := 1
	if e.mode&typeDir != 0 && e.mode&typeFile != typeFile {
		links = 2
	}
	// inode, mode, uid, gid, links, mtime, size, device, device of a node (major, minor each), length of the name, no checksum
	fmt.Fprintf(out, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		number, e.mode, 0, 0, links, 0, len(e.content), 0, 0, 0, 0, len(name)+1, 0)
	out.WriteString(name + "\x00")
	pad(out)
	out.Write(e.content)
	pad(out)
}

func pad(out *bytes.Buffer) {
	for out.Len()%4 != 0 {
		out.WriteByte(0)
	}
}
