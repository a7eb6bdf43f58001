package record

import "unsafe"

// A Kind is a kind of record.
type Kind uint8

const (
	KindInv Kind = iota
	KindTx
	KindBlock
	KindPing
	KindPong
	KindVersion
	KindAddr
	KindConn
	NumKinds
)

// String is the record's name for users: inv, tx, block, ping, pong, version, addr, conn.
func (k Kind) String() string {
	return [...]string{"inv", "tx", "block", "ping", "pong", "version", "addr", "conn"}[k]
}

// A Ref names one element of a Batch's slices.
type Ref struct {
	Kind  Kind
	Index uint32
}

// A Batch is a set of records on its way to a sink. It belongs to whoever holds it, and is reused.
type Batch struct {
	Capture *Capture // that all records are of; nil if the batch mixes captures
	Seq     uint64   // place of the batch among its capture's: 0, 1, 2, ... the same in every run

	Order    []Ref // all records, in the order they were made; one element for each inv message
	Invs     []Inv
	Vects    []InvVect // of all Invs
	Txs      []Tx
	Blocks   []Block
	Pings    []Ping
	Pongs    []Pong
	Versions []Version
	Addrs    []Addr
	Conns    []ConnEnd
}

func (b *Batch) ref(k Kind, i int) { b.Order = append(b.Order, Ref{k, uint32(i)}) }

// Inv appends an inv message with its vectors, which it copies. m.First and m.N are set here.
func (b *Batch) Inv(m Meta, vects []InvVect) {
	b.ref(KindInv, len(b.Invs))
	b.Invs = append(b.Invs, Inv{Meta: m, First: len(b.Vects), N: len(vects)})
	b.Vects = append(b.Vects, vects...)
}

// Tx appends r, with the other methods here: a *Batch is a decode.Recorder.
func (b *Batch) Tx(r Tx) {
	b.ref(KindTx, len(b.Txs))
	b.Txs = append(b.Txs, r)
}

// Block appends r.
func (b *Batch) Block(r Block) {
	b.ref(KindBlock, len(b.Blocks))
	b.Blocks = append(b.Blocks, r)
}

// Ping appends r.
func (b *Batch) Ping(r Ping) {
	b.ref(KindPing, len(b.Pings))
	b.Pings = append(b.Pings, r)
}

// Pong appends r.
func (b *Batch) Pong(r Pong) {
	b.ref(KindPong, len(b.Pongs))
	b.Pongs = append(b.Pongs, r)
}

// Version appends r.
func (b *Batch) Version(r Version) {
	b.ref(KindVersion, len(b.Versions))
	b.Versions = append(b.Versions, r)
}

// Addr appends r.
func (b *Batch) Addr(r Addr) {
	b.ref(KindAddr, len(b.Addrs))
	b.Addrs = append(b.Addrs, r)
}

// Conn appends r.
func (b *Batch) Conn(r ConnEnd) {
	b.ref(KindConn, len(b.Conns))
	b.Conns = append(b.Conns, r)
}

// Counts returns the number of records of each kind. Each inventory vector is one.
func (b *Batch) Counts() (n [NumKinds]uint64) {
	return [NumKinds]uint64{
		KindInv: uint64(len(b.Vects)), KindTx: uint64(len(b.Txs)), KindBlock: uint64(len(b.Blocks)),
		KindPing: uint64(len(b.Pings)), KindPong: uint64(len(b.Pongs)), KindVersion: uint64(len(b.Versions)),
		KindAddr: uint64(len(b.Addrs)), KindConn: uint64(len(b.Conns)),
	}
}

// Len is the number of records. Each inventory vector is one.
func (b *Batch) Len() int {
	return len(b.Vects) + len(b.Order) - len(b.Invs)
}

// Size is about how many bytes of memory the records take.
func (b *Batch) Size() int {
	n := size(b.Order) + size(b.Invs) + size(b.Vects) + size(b.Txs) + size(b.Blocks) + size(b.Pings) + size(b.Pongs) + size(b.Versions) +
		size(b.Addrs) + size(b.Conns)
	for i := range b.Txs {
		n += size(b.Txs[i].Inputs) + size(b.Txs[i].Outputs)
	}
	return n
}

func size[T any](s []T) int {
	var one T
	return len(s) * int(unsafe.Sizeof(one))
}

// Span returns the capture times of the first and the last record, 0 if there are none: of a connection's end, that of its last
// packet.
func (b *Batch) Span() (first, last Time) {
	see := func(t Time) {
		if first == 0 || t < first {
			first = t
		}
		last = max(last, t)
	}
	for i := range b.Invs {
		see(b.Invs[i].SeenAt)
	}
	for i := range b.Txs {
		see(b.Txs[i].SeenAt)
	}
	for i := range b.Blocks {
		see(b.Blocks[i].SeenAt)
	}
	for i := range b.Pings {
		see(b.Pings[i].SeenAt)
	}
	for i := range b.Pongs {
		see(b.Pongs[i].SeenAt)
	}
	for i := range b.Versions {
		see(b.Versions[i].SeenAt)
	}
	for i := range b.Addrs {
		see(b.Addrs[i].SeenAt)
	}
	for i := range b.Conns {
		see(b.Conns[i].ClosedAt)
	}
	return first, last
}

// Newest is the latest of the records' capture times, 0 if there are none; see Span.
func (b *Batch) Newest() Time {
	_, last := b.Span()
	return last
}

// Reset empties b and keeps its memory, but nothing that its records pointed to.
func (b *Batch) Reset() {
	clear(b.Invs)
	clear(b.Txs)
	clear(b.Blocks)
	clear(b.Pings)
	clear(b.Pongs)
	clear(b.Versions)
	clear(b.Addrs)
	clear(b.Conns)
	*b = Batch{
		Order: b.Order[:0], Invs: b.Invs[:0], Vects: b.Vects[:0], Txs: b.Txs[:0], Blocks: b.Blocks[:0],
		Pings: b.Pings[:0], Pongs: b.Pongs[:0], Versions: b.Versions[:0], Addrs: b.Addrs[:0], Conns: b.Conns[:0],
	}
}
