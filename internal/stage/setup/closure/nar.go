package closure

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// hashOf is the SHA-256 of a path's NAR: Nix' archive format, in which every string is its length (64 bits, little endian), its bytes, and zeros
// up to a multiple of eight. said, which may be nil, hears of bytes as they are read.
func hashOf(ctx context.Context, name string, said func(int64)) ([sha256.Size]byte, error) {
	return (&nar{ctx: ctx, sum: sha256.New(), said: said}).run(name, "")
}

// copyPath copies a path and gives the hash of what was read. Times and rights of the copy are those of every store: 1 January 1970 and a second,
// read-only, executable where the source is.
func copyPath(ctx context.Context, from, to string, said func(int64)) ([sha256.Size]byte, error) {
	return (&nar{ctx: ctx, sum: sha256.New(), said: said, copying: true}).run(from, to)
}

// nar walks a path in the order of its NAR.
type nar struct {
	ctx     context.Context
	sum     hash.Hash
	said    func(int64)
	copying bool
	buffer  []byte
}

func (n *nar) run(from, to string) (sum [sha256.Size]byte, err error) {
	n.buffer = make([]byte, 256<<10)
	n.text("nix-archive-1")
	if err := n.node(from, to); err != nil {
		return sum, err
	}
	return [sha256.Size]byte(n.sum.Sum(nil)), nil
}

// text adds strings to the archive.
func (n *nar) text(all ...string) {
	for _, s := range all {
		n.length(int64(len(s)))
		n.sum.Write([]byte(s))
		n.tell(int64(len(s)))
		n.pad(int64(len(s)))
	}
}

func (n *nar) length(bytes int64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(bytes))
	n.sum.Write(b[:])
	n.tell(8)
}

func (n *nar) pad(bytes int64) {
	padding := (8 - bytes%8) % 8
	n.sum.Write(make([]byte, padding))
	n.tell(padding)
}

func (n *nar) tell(bytes int64) {
	if n.said != nil {
		n.said(bytes)
	}
}

func (n *nar) node(from, to string) error {
	if n.ctx.Err() != nil {
		return context.Cause(n.ctx)
	}
	stat, err := os.Lstat(from)
	if err != nil {
		return err
	}
	n.text("(", "type")
	switch mode := stat.Mode(); {
	case mode.IsRegular():
		err = n.file(from, to, mode.Perm()&0o100 != 0)
	case mode.IsDir():
		err = n.folder(from, to)
	case mode&fs.ModeSymlink != 0:
		err = n.link(from, to)
	default:
		err = fmt.Errorf("%s is no file, folder or link: no store has such", from)
	}
	n.text(")")
	return err
}

func (n *nar) link(from, to string) error {
	target, err := os.Readlink(from)
	if err != nil {
		return err
	}
	n.text("symlink", "target", target)
	if !n.copying {
		return nil
	}
	return os.Symlink(target, to)
}

func (n *nar) folder(from, to string) error {
	entries, err := os.ReadDir(from) // sorted by bytes, as a NAR is
	if err != nil {
		return err
	}
	if n.copying {
		if err := os.Mkdir(to, 0o755); err != nil {
			return err
		}
	}
	n.text("directory")
	for _, entry := range entries {
		n.text("entry", "(", "name", entry.Name(), "node")
		if err := n.node(filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())); err != nil {
			return err
		}
		n.text(")")
	}
	if !n.copying {
		return nil
	}
	return canonical(to, 0o555)
}

func (n *nar) file(from, to string, executable bool) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // it was only read
	stat, err := in.Stat()
	if err != nil {
		return err
	}
	n.text("regular")
	mode := fs.FileMode(0o444)
	if executable {
		n.text("executable", "")
		mode = 0o555
	}
	n.text("contents")
	n.length(stat.Size())
	read, err := n.contents(in, to)
	if err != nil {
		return err
	}
	if read != stat.Size() {
		return fmt.Errorf("%s has %d bytes and not %d", from, read, stat.Size())
	}
	n.pad(read)
	if !n.copying {
		return nil
	}
	return canonical(to, mode)
}

// contents reads a file into the hash and, when copying, into its copy.
func (n *nar) contents(in io.Reader, to string) (int64, error) {
	into := []io.Writer{n.sum}
	if n.copying {
		out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return 0, err
		}
		read, err := n.pour(in, append(into, out))
		return read, errors.Join(err, out.Close())
	}
	return n.pour(in, into)
}

func (n *nar) pour(in io.Reader, into []io.Writer) (int64, error) {
	var total int64
	for {
		if n.ctx.Err() != nil {
			return total, context.Cause(n.ctx)
		}
		read, err := in.Read(n.buffer)
		for _, w := range into {
			if _, err := w.Write(n.buffer[:read]); err != nil {
				return total, fmt.Errorf("write: %w", err)
			}
		}
		total += int64(read)
		n.tell(int64(read))
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, fmt.Errorf("read: %w", err)
		}
	}
}

// canonical gives a path of a store the rights and the time that Nix gives it.
func canonical(name string, mode fs.FileMode) error {
	if err := os.Chmod(name, mode); err != nil {
		return err
	}
	return os.Chtimes(name, time.Unix(1, 0), time.Unix(1, 0))
}
