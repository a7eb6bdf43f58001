package capture

import (
	"context"
	"io"
	"os"
	"sync"
)

// A pump reads from standard input or a named pipe in a goroutine, so that its user can stop waiting.
type pump struct {
	open   func() (io.Reader, error)
	ctx    func() context.Context // of the call that is waiting
	once   sync.Once
	blocks chan block    // filled; closed by the goroutine when it ends. Full: it waits
	free   chan []byte   // to be filled
	quit   chan struct{} // closed by close
	now    block         // being read
	whole  []byte        // of now, to be given back
}

type block struct {
	b   []byte
	err error
}

// newPump returns a pump of what open opens, at the first Read.
func newPump(open func() (io.Reader, error)) *pump {
	return &pump{open: open, blocks: make(chan block, 2), free: make(chan []byte, 2), quit: make(chan struct{})}
}

// pumpBlock is a pipe's capacity on Linux: what one read gives at most.
const pumpBlock = 64 << 10

func (p *pump) start() {
	p.free <- make([]byte, pumpBlock)
	p.free <- make([]byte, pumpBlock)
	go p.run()
}

func (p *pump) run() {
	defer close(p.blocks)
	r, err := p.open()
	if err != nil {
		p.blocks <- block{err: err}
		return
	}
	if c, ok := r.(io.Closer); ok && r != io.Reader(os.Stdin) {
		defer c.Close()
	}
	for {
		var b []byte
		select {
		case b = <-p.free:
		case <-p.quit:
			return
		}
		n, err := r.Read(b)
		select {
		case p.blocks <- block{b[:n], err}:
		case <-p.quit:
			return
		}
		if err != nil {
			return
		}
	}
}

// Read waits for bytes until the context that ctx returns is done.
func (p *pump) Read(b []byte) (int, error) {
	p.once.Do(p.start)
	for len(p.now.b) == 0 {
		if p.now.err != nil {
			return 0, p.now.err
		}
		if p.whole != nil {
			p.free <- p.whole
			p.whole = nil
		}
		ctx := p.ctx()
		select {
		case p.now = <-p.blocks:
			p.whole = p.now.b[:cap(p.now.b)]
			if cap(p.now.b) == 0 {
				p.whole = nil
			}
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	n := copy(b, p.now.b)
	p.now.b = p.now.b[n:]
	return n, nil
}

// close ends the goroutine, unless it hangs in a read: nothing can interrupt that of a terminal or a pipe, and it
// ends with the program at the latest.
func (p *pump) close() { close(p.quit) }
