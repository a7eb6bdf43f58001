package decode

import "btcsniff/record"

// A buffer is bytes with their capture times.
type buffer struct {
	b     []byte
	marks []mark // in order; the last one's end is len(b)
}

// A mark says that the bytes up to end were captured at the given time.
type mark struct {
	end int
	at  record.Time
}

const (
	markSize    = 16       // bytes
	maxSpare    = 1024     // buffers
	maxSpareCap = 16 << 10 // bytes; larger ones are left to the garbage collector
)

func (k *buffer) len() int      { return len(k.b) }
func (k *buffer) bytes() []byte { return k.b }

// size is how many bytes of memory the buffer is counted with.
func (k *buffer) size() int { return len(k.b) + markSize*len(k.marks) }

func (k *buffer) add(b []byte, at record.Time) {
	k.b = append(k.b, b...)
	if n := len(k.marks); n > 0 && k.marks[n-1].at == at {
		k.marks[n-1].end = len(k.b)
	} else {
		k.marks = append(k.marks, mark{len(k.b), at})
	}
}

// discard drops the first n bytes.
func (k *buffer) discard(n int) {
	k.b = append(k.b[:0], k.b[n:]...)
	marks := k.marks[:0]
	for _, m := range k.marks {
		if m.end > n {
			marks = append(marks, mark{m.end - n, m.at})
		}
	}
	k.marks = marks
}

// full says whether streams keep as much as they may together.
func (d *Decoder) full() bool { return d.buffered >= d.cfg.MaxBuffer }

// tight says whether a message of which n bytes would have to be kept is not to be. When streams keep as much as they may, small ones
// still are, until twice as much is kept: a stream of single bytes keeps a capture time for each.
func (d *Decoder) tight(n int) bool {
	return d.full() && (n > small || d.buffered >= 2*d.cfg.MaxBuffer)
}

// newBuffer returns an empty buffer.
func (d *Decoder) newBuffer() buffer {
	n := len(d.spare)
	if n == 0 {
		return buffer{}
	}
	k := d.spare[n-1]
	d.spare = d.spare[:n-1]
	return k
}

// recycle takes back a buffer that nothing uses any more.
func (d *Decoder) recycle(k buffer) {
	if k.b != nil && cap(k.b)+markSize*cap(k.marks) <= maxSpareCap && len(d.spare) < maxSpare {
		d.spare = append(d.spare, buffer{k.b[:0], k.marks[:0]})
	}
}
