package capture

import (
	"errors"
	"io"
)

// A buffer reads large blocks and lends out pieces of them without copying. It grows to the longest piece asked for, but
// only as far as bytes really arrive: a length field that lies costs nothing.
type buffer struct {
	src      io.Reader
	block    *Block
	b        []byte // the block's
	pos, end int    // b[pos:end] was read and not yet taken
	base     int64  // offset of b[0] in what src yields
}

func newBuffer(src io.Reader, size int) buffer {
	block := newBlock(size)
	return buffer{src: src, block: block, b: block.b}
}

// reset makes b read another source, with the same memory.
func (b *buffer) reset(src io.Reader) {
	b.pos, b.end, b.base, b.src = 0, 0, 0, src
	b.free()
}

// offset is the place of the next byte in what src yields.
func (b *buffer) offset() int64 { return b.base + int64(b.pos) }

// peek returns the next n bytes, valid until the next call, without taking them. If the source ends or fails before, it
// returns what there is with io.EOF or the source's error; a later call tries again.
func (b *buffer) peek(n int) ([]byte, error) {
	if b.end-b.pos >= n {
		return b.b[b.pos : b.pos+n], nil
	}
	return b.fill(n)
}

func (b *buffer) fill(n int) ([]byte, error) {
	if b.pos > 0 && (!b.block.held() || b.pos+n > len(b.b)) {
		b.base += int64(b.pos)
		rest := b.b[b.pos:b.end]
		b.pos, b.end = 0, len(rest)
		b.free()
		copy(b.b, rest)
	}
	for idle := 0; b.end-b.pos < n; {
		if b.end == len(b.b) { // and pos is 0: nobody was lent anything of it
			b.block.b = append(b.b, make([]byte, min(n, 2*len(b.b))-len(b.b))...)
			b.b = b.block.b
		}
		k, err := b.src.Read(b.b[b.end:])
		b.end += k
		switch {
		case b.end-b.pos >= n:
			// The error, if any, comes again with the next call.
		case err != nil:
			return b.b[b.pos:b.end], err
		case k > 0:
			idle = 0
		case idle == 100:
			return b.b[b.pos:b.end], io.ErrNoProgress
		default:
			idle++
		}
	}
	return b.b[b.pos : b.pos+n], nil
}

// free goes on with another block if this one is held.
func (b *buffer) free() {
	if b.block.held() {
		old := b.block
		b.block = old.next()
		b.b = b.block.b
		old.Release()
	}
}

// take goes on by n bytes, which peek has returned.
func (b *buffer) take(n int) { b.pos += n }

// skip takes up to n bytes, however many, and says how many were left when it ended. The error is nil, io.EOF or the
// source's.
func (b *buffer) skip(n int64) (left int64, err error) {
	for n > 0 {
		if b.pos == b.end {
			if _, err := b.fill(1); err != nil {
				return n, err
			}
		}
		k := min(n, int64(b.end-b.pos))
		b.pos += int(k)
		n -= k
	}
	return 0, nil
}

// forget drops what was read and not taken, and says how many bytes that is: the source is to yield them again.
func (b *buffer) forget() int {
	n := b.end - b.pos
	b.end = b.pos
	return n
}

// unread returns a reader of everything not yet taken, and leaves b empty: a decompressor goes between.
func (b *buffer) unread() io.Reader {
	rest := append([]byte(nil), b.b[b.pos:b.end]...)
	src := b.src
	b.reset(nil)
	return &prefixed{rest, src}
}

// A prefixed reader yields b, then what r yields. Unlike io.MultiReader it may be read again after io.EOF.
type prefixed struct {
	b []byte
	r io.Reader
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.b) > 0 {
		n := copy(b, p.b)
		p.b = p.b[n:]
		return n, nil
	}
	return p.r.Read(b)
}

// atEnd says whether err means that there are no more bytes, cleanly or within a compressed block.
func atEnd(err error) bool { return err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) }
