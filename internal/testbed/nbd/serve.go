package nbd

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// Numbers of the protocol.
const (
	magicServer  = 0x4e42444d41474943 // "NBDMAGIC"
	magicOption  = 0x49484156454f5054 // "IHAVEOPT"
	magicAnswer  = 0x3e889045565a9
	magicRequest = 0x25609513
	magicReply   = 0x67446698

	fixedNewStyle, noZeroes = 1, 2

	optionAbort, optionInfo, optionGo         = 2, 6, 7
	answerAck, answerInfo, answerNotSupported = 1, 3, 1<<31 + 1

	hasFlags, sendFlush, sendFUA = 1, 4, 8

	read, write, disconnect, flush = 0, 1, 2, 3
	forceUnitAccess                = 1

	ioError = 5
	longest = 64 << 20 // of an option or a write, in bytes
)

// Serve answers one client after the other, until the listener is closed.
func (d *Disk) Serve(l net.Listener) error {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		err = d.serve(c)
		if err = errors.Join(err, c.Close()); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("serve a disk: %w", err)
		}
	}
}

func (d *Disk) serve(c net.Conn) error {
	if err := d.agree(c); err != nil {
		return err
	}
	in := bufio.NewReaderSize(c, 256<<10)
	for {
		var r request
		if err := binary.Read(in, binary.BigEndian, &r); err != nil {
			return err
		}
		if r.Magic != magicRequest || r.Length > longest {
			return fmt.Errorf("no request: %+v", r)
		}
		if r.Kind == disconnect {
			return nil
		}
		if err := d.answer(c, in, r); err != nil {
			return err
		}
	}
}

type request struct {
	Magic  uint32
	Flags  uint16
	Kind   uint16
	Handle uint64
	Offset uint64
	Length uint32
}

// agree is the handshake: there is one export, whatever its name.
func (d *Disk) agree(c net.Conn) error {
	hello := binary.BigEndian.AppendUint64(nil, magicServer)
	hello = binary.BigEndian.AppendUint64(hello, magicOption)
	hello = binary.BigEndian.AppendUint16(hello, fixedNewStyle|noZeroes)
	if _, err := c.Write(hello); err != nil {
		return err
	}
	var flags uint32
	if err := binary.Read(c, binary.BigEndian, &flags); err != nil {
		return err
	}
	for {
		done, err := d.option(c)
		if done || err != nil {
			return err
		}
	}
}

func (d *Disk) option(c net.Conn) (done bool, err error) {
	var o struct {
		Magic        uint64
		Kind, Length uint32
	}
	if err := binary.Read(c, binary.BigEndian, &o); err != nil {
		return false, err
	}
	if o.Magic != magicOption || o.Length > longest {
		return false, fmt.Errorf("no option: %+v", o)
	}
	if _, err := io.CopyN(io.Discard, c, int64(o.Length)); err != nil {
		return false, err
	}
	say := func(kind uint32, content []byte) {
		if err == nil {
			b := binary.BigEndian.AppendUint64(nil, magicAnswer)
			b = binary.BigEndian.AppendUint32(b, o.Kind)
			b = binary.BigEndian.AppendUint32(b, kind)
			b = binary.BigEndian.AppendUint32(b, uint32(len(content)))
			_, err = c.Write(append(b, content...))
		}
	}
	switch o.Kind {
	case optionGo, optionInfo:
		export := binary.BigEndian.AppendUint16(nil, 0) // NBD_INFO_EXPORT
		export = binary.BigEndian.AppendUint64(export, uint64(d.size))
		say(answerInfo, binary.BigEndian.AppendUint16(export, hasFlags|sendFlush|sendFUA))
		say(answerAck, nil)
		return o.Kind == optionGo, err
	case optionAbort:
		say(answerAck, nil)
		return false, errors.Join(err, io.EOF)
	}
	say(answerNotSupported, nil)
	return false, err
}

// answer carries a request out. Without power nothing is answered, ever.
func (d *Disk) answer(c net.Conn, in io.Reader, r request) error {
	content := make([]byte, 0)
	if r.Kind == write || r.Kind == read {
		content = make([]byte, r.Length)
	}
	if r.Kind == write {
		if _, err := io.ReadFull(in, content); err != nil {
			return err
		}
	}
	if !d.power.on(r.Kind == write) {
		return nil
	}
	err := d.do(r, content)
	reply := binary.BigEndian.AppendUint32(nil, magicReply)
	code := uint32(0)
	if err != nil {
		code = ioError
	}
	reply = binary.BigEndian.AppendUint32(reply, code)
	reply = binary.BigEndian.AppendUint64(reply, r.Handle)
	if r.Kind == read && err == nil {
		reply = append(reply, content...)
	}
	_, err = c.Write(reply)
	return err
}

func (d *Disk) do(r request, content []byte) error {
	switch r.Kind {
	case read:
		return d.read(content, int64(r.Offset))
	case write:
		d.power.Tape().add(entry{d.number, int64(r.Offset), content})
		err := d.write(content, int64(r.Offset))
		if r.Flags&forceUnitAccess != 0 {
			d.bring() // more than it asks for, as disks may
		}
		return err
	case flush:
		d.bring()
		return nil
	}
	return fmt.Errorf("there is no request %d", r.Kind)
}

// bring is a flush that the client wants.
func (d *Disk) bring() {
	d.power.Tape().add(entry{disk: d.number})
	d.flush()
}
