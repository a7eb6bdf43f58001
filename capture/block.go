package capture

import "sync/atomic"

// A Block is memory with the bytes of many packets of a file. Whoever keeps a packet's Data beyond the next call to Next holds the
// packet's Block meanwhile: memory that is held is not read into again, where there already are bytes.
type Block struct {
	b    []byte
	uses atomic.Int32 // by the buffer that reads into it, and by holders
	free chan *Block  // where it goes when nobody uses it; when that is full, it is dropped
}

// freeBlocks is how many blocks a buffer keeps for reuse: about as many as are held while some goroutines decode.
const freeBlocks = 8

func newBlock(size int) *Block {
	b := &Block{b: make([]byte, size), free: make(chan *Block, freeBlocks)}
	b.uses.Store(1)
	return b
}

// Hold keeps the bytes as they are until Release is called as often. It is called by the goroutine that calls Next.
func (b *Block) Hold() { b.uses.Add(1) }

// Release gives the bytes back. It may be called by any goroutine.
func (b *Block) Release() {
	if b.uses.Add(-1) == 0 {
		select {
		case b.free <- b:
		default:
		}
	}
}

// held says whether anybody but the buffer uses b.
func (b *Block) held() bool { return b.uses.Load() > 1 }

// next returns a block of the same size that nobody holds, to go on with instead of b.
func (b *Block) next() *Block {
	for {
		select {
		case n := <-b.free:
			if len(n.b) < len(b.b) {
				continue // from before b grew
			}
			n.uses.Store(1)
			return n
		default:
			n := newBlock(len(b.b))
			n.free = b.free
			return n
		}
	}
}
