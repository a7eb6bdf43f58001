package pipeline

import (
	"btcsniff/record"
	"btcsniff/sink"
)

// An output hands a capture's records to every queue and counts them. It is a decode.Recorder, and is used by one goroutine:
// the one that hands records over.
type output struct {
	capture *record.Capture
	queues  []*sink.Queue
	open    []*sink.Lane // one for each queue, from the first use on
	now     record.Time  // capture time of the step that makes records; 0 at the end
	counts  [record.NumKinds]uint64
}

// lanes returns the queues' entrances for the capture.
func (o *output) lanes() []*sink.Lane {
	if len(o.open) < len(o.queues) {
		for _, q := range o.queues {
			o.open = append(o.open, q.Lane(o.capture))
		}
	}
	return o.open
}

func (o *output) advance(now record.Time) {
	o.now = now
	o.next()
}

// next returns the lanes for the next record. Batches end between any two records, also of one step: many connections may
// end in it.
func (o *output) next() []*sink.Lane {
	lanes := o.lanes()
	for _, l := range lanes {
		l.Advance(o.now)
	}
	return lanes
}

// made is the number of records of each kind.
func (o *output) made() map[string]uint64 {
	m := map[string]uint64{}
	for k, n := range o.counts {
		if n > 0 {
			m[record.Kind(k).String()] = n
		}
	}
	return m
}

func (o *output) Inv(m record.Meta, vects []record.InvVect) {
	o.counts[record.KindInv] += uint64(len(vects))
	for _, l := range o.next() {
		l.Inv(m, vects)
	}
}

func (o *output) Tx(r record.Tx) {
	o.counts[record.KindTx]++
	for _, l := range o.next() {
		l.Tx(r)
	}
}

func (o *output) Block(r record.Block) {
	o.counts[record.KindBlock]++
	for _, l := range o.next() {
		l.Block(r)
	}
}

func (o *output) Ping(r record.Ping) {
	o.counts[record.KindPing]++
	for _, l := range o.next() {
		l.Ping(r)
	}
}

func (o *output) Pong(r record.Pong) {
	o.counts[record.KindPong]++
	for _, l := range o.next() {
		l.Pong(r)
	}
}

func (o *output) Version(r record.Version) {
	o.counts[record.KindVersion]++
	for _, l := range o.next() {
		l.Version(r)
	}
}

func (o *output) Addr(r record.Addr) {
	o.counts[record.KindAddr]++
	for _, l := range o.next() {
		l.Addr(r)
	}
}

func (o *output) Conn(r record.ConnEnd) {
	o.counts[record.KindConn]++
	for _, l := range o.next() {
		l.Conn(r)
	}
}

// copy hands over one record of a batch.
func (o *output) copy(b *record.Batch, r record.Ref) {
	switch r.Kind {
	case record.KindInv:
		v := &b.Invs[r.Index]
		o.Inv(v.Meta, b.Vects[v.First:v.First+v.N])
	case record.KindTx:
		o.Tx(b.Txs[r.Index])
	case record.KindBlock:
		o.Block(b.Blocks[r.Index])
	case record.KindPing:
		o.Ping(b.Pings[r.Index])
	case record.KindPong:
		o.Pong(b.Pongs[r.Index])
	case record.KindVersion:
		o.Version(b.Versions[r.Index])
	case record.KindAddr:
		o.Addr(b.Addrs[r.Index])
	case record.KindConn:
		o.Conn(b.Conns[r.Index])
	}
}
