package decode

import (
	"fmt"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"btcsniff/record"
)

const second = record.Time(1_000_000)

// trips plays the steps and returns the pongs in the order in which they were made.
func trips(t *testing.T, steps ...step) (made []string) {
	t.Helper()
	var batch record.Batch
	d := New(Config{Out: &batch})
	c := d.Conn(newConn(true))
	pongs := 0
	for i, s := range append(steps, step{}) {
		switch {
		case i == len(steps):
			c.Close(record.ConnEnd{})
		case s.data == nil:
			c.Gap(s.fromB, s.gap)
		default:
			c.Data(s.fromB, s.data, s.at)
		}
		for _, p := range batch.Pongs[pongs:] {
			us, ok := p.RTT()
			what := fmt.Sprintf("step %d: %d", i, p.Nonce)
			if ok {
				what += fmt.Sprintf(" after %d", us)
			}
			made = append(made, what)
		}
		pongs = len(batch.Pongs)
	}
	return made
}

func TestPong(t *testing.T) {
	ping, pong := main.Ping, main.Pong
	other := inv(1)
	var many []step
	var manyWant []string
	for i := range maxPongs + 2 {
		many = append(many, dataB(pong(uint64(i)), 1))
		manyWant = append(manyWant, fmt.Sprintf("step %d: %d", maxPongs+i, i))
	}
	for i := range manyWant[2:] {
		manyWant[i+2] = fmt.Sprintf("step %d: %d", len(many), i+2)
	}
	for _, tt := range []struct {
		name  string
		steps []step
		want  []string
	}{
		{"answered", []step{data(ping(1), 10), dataB(pong(1), 35)}, []string{"step 1: 1 after 25"}},
		{"in the same microsecond", []step{data(ping(1), 10), dataB(pong(1), 10)}, []string{"step 1: 1 after 0"}},
		{"asked by B", []step{dataB(ping(1), 10), data(pong(1), 35)}, []string{"step 1: 1 after 25"}},
		{"two outstanding", []step{data(ping(1), 10), data(ping(2), 20), dataB(pong(1), 30), dataB(pong(2), 50)}, []string{"step 2: 1 after 20", "step 3: 2 after 30"}},
		{"two outstanding, answered out of order", []step{data(ping(1), 10), data(ping(2), 20), dataB(pong(2), 30), dataB(pong(1), 50)},
			[]string{"step 2: 2 after 10", "step 3: 1 after 40"}},
		{"own pong", []step{data(ping(1), 10), data(pong(1), 35)}, []string{"step 2: 1"}},
		{"answered twice", []step{data(ping(1), 10), dataB(pong(1), 35), dataB(pong(1), 45)}, []string{"step 1: 1 after 25", "step 3: 1"}},
		{"same nonce again", []step{data(ping(1), 10), dataB(pong(1), 15), data(ping(1), 20), dataB(pong(1), 27)}, []string{"step 1: 1 after 5", "step 3: 1 after 7"}},
		{"same nonce, two outstanding", []step{data(ping(1), 10), data(ping(1), 20), dataB(pong(1), 27), dataB(pong(1), 28)}, []string{"step 2: 1 after 17", "step 3: 1 after 8"}},
		{"same nonce, a pong lost", []step{data(ping(1), 10), dataB(other, 12), gapB(32), data(ping(1), 2000), dataB(other, 2010), gapB(32), data(ping(1), 3000), gapB(10), dataB(pong(1), 3005)},
			[]string{"step 9: 1 after 5"}},
		{"nonce 0", []step{data(ping(0), 10), dataB(pong(0), 15)}, []string{"step 1: 0 after 5"}},
		{"ping without a nonce", []step{data(main.Message("ping", nil), 10), dataB(pong(0), 15)}, []string{"step 2: 0"}},
		{"ping not captured", []step{dataB(pong(1), 15), data(other, 16)}, []string{"step 2: 1"}},
		{"ping not captured, other side much later", []step{dataB(pong(1), 15), data(other, 16), data(other, 3*second)}, []string{"step 2: 1"}},
		{"ping comes late", []step{dataB(pong(1), 15), data(ping(1), 10)}, []string{"step 1: 1 after 5"}},
		{"ping comes after what filled the hole before it", []step{dataB(pong(1), 15), data(other, second), data(ping(1), 10)}, []string{"step 2: 1 after 5"}},
		{"ping comes late, in pieces", []step{dataB(pong(1), 15), data(ping(1)[:20], 10), data(ping(1)[20:], 11)}, []string{"step 2: 1 after 4"}},
		{"ping comes late, after a gap", []step{dataB(pong(1), 15), gap(100), data(ping(1), 10), data(other, 4*second)}, []string{"step 4: 1 after 5"}},
		{"pong before its ping", []step{dataB(pong(1), 15), data(ping(1), 16)}, []string{"step 2: 1"}},
		{"two wait for the same nonce", []step{dataB(pong(1), 15), dataB(pong(1), 16), data(ping(1), 3), data(ping(1), 4)}, []string{"step 2: 1 after 12", "step 3: 1 after 12"}},
		{"many wait", many, manyWant},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := gocmp.Diff(tt.want, trips(t, tt.steps...)); diff != "" {
				t.Errorf("pongs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestManyPings(t *testing.T) {
	var steps []step
	var want []string
	for i := range maxPings + 2 {
		steps = append(steps, data(main.Ping(uint64(i)), 1))
	}
	for i := range maxPings {
		steps = append(steps, dataB(main.Pong(uint64(i+2)), 2))
		want = append(want, fmt.Sprintf("step %d: %d after 1", len(steps)-1, i+2))
	}
	steps = append(steps, dataB(main.Pong(0), 2))
	want = append(want, fmt.Sprintf("step %d: 0", len(steps)))
	if diff := gocmp.Diff(want, trips(t, steps...)); diff != "" {
		t.Errorf("pongs (-want +got):\n%s", diff)
	}
}

func TestConnEnd(t *testing.T) {
	a, b := version("/A/"), version("/B/")
	for _, tt := range []struct {
		name           string
		openerKnown    bool
		localA, localB bool
		steps          []step
		want           record.ConnEnd
	}{
		{"both", true, false, false, []step{data(a, 1), dataB(b, 2)},
			record.ConnEnd{OpenerKnown: true, Transport: record.TransportV1, UserAgent: "/B/", A: record.FlowCount{Messages: 1}, B: record.FlowCount{Messages: 1}}},
		{"B is local", true, false, true, []step{data(a, 1), dataB(b, 2)},
			record.ConnEnd{OpenerKnown: true, Transport: record.TransportV1, UserAgent: "/A/", A: record.FlowCount{Messages: 1}, B: record.FlowCount{Messages: 1}}},
		{"both are local", true, true, true, []step{data(a, 1), dataB(b, 2)},
			record.ConnEnd{OpenerKnown: true, Transport: record.TransportV1, UserAgent: "/B/", A: record.FlowCount{Messages: 1}, B: record.FlowCount{Messages: 1}}},
		{"opener told by the versions", false, false, false, []step{data(a, 1), dataB(b, 2)},
			record.ConnEnd{OpenerKnown: true, Transport: record.TransportV1, UserAgent: "/B/", A: record.FlowCount{Messages: 1}, B: record.FlowCount{Messages: 1}}},
		{"B was first", false, false, false, []step{data(a, 2), dataB(b, 1)},
			record.ConnEnd{Transport: record.TransportV1, UserAgent: "/B/", A: record.FlowCount{Messages: 1}, B: record.FlowCount{Messages: 1}}},
		{"one version, perhaps the second", false, false, false, []step{data(a, 1)},
			record.ConnEnd{Transport: record.TransportV1, A: record.FlowCount{Messages: 1}}},
		{"resyncs", true, false, false, []step{data(a, 1), gap(5), data(slices.Repeat(a, enough), 2), data([]byte("garbage"), 3), data(slices.Repeat(a, enough), 4), data(a[:30], 5), gap(100)},
			record.ConnEnd{OpenerKnown: true, Transport: record.TransportV1, A: record.FlowCount{Messages: 1 + 2*enough, Resyncs: 3}}},
		{"gap within a message of known length", true, false, false, []step{data(inv(2)[:30], 1), gap(10), data(inv(2)[40:], 2), data(inv(2), 3)},
			record.ConnEnd{OpenerKnown: true, Transport: record.TransportV1, A: record.FlowCount{Messages: 1}}},
		{"nothing", true, false, false, nil, record.ConnEnd{OpenerKnown: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := newConn(tt.openerKnown)
			conn.LocalA, conn.LocalB = tt.localA, tt.localB
			var batch record.Batch
			d := New(Config{Out: &batch})
			c := d.Conn(conn)
			for _, s := range tt.steps {
				if s.data == nil {
					c.Gap(s.fromB, s.gap)
				} else {
					c.Data(s.fromB, s.data, s.at)
				}
			}
			c.Close(record.ConnEnd{OpenerKnown: tt.openerKnown})
			if diff := gocmp.Diff(tt.want, batch.Conns[0]); diff != "" {
				t.Errorf("end (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConnsAreCounted(t *testing.T) {
	d := New(Config{Out: new(record.Batch)})
	for _, first := range [][]byte{main.Ping(1), main.Ping(2), randomBytes(100), make([]byte, 200)} {
		c := d.Conn(newConn(true))
		c.Data(false, first, 1)
		c.Close(record.ConnEnd{A: record.FlowCount{Bytes: uint64(len(first))}, B: record.FlowCount{Bytes: 1}})
	}
	want := map[string]record.Class{"v1": {Conns: 2, Bytes: 66}, "v2": {Conns: 1, Bytes: 101}, "unknown": {Conns: 1, Bytes: 201}}
	if diff := gocmp.Diff(want, d.Stats().Conns); diff != "" {
		t.Errorf("connections (-want +got):\n%s", diff)
	}
}

// discard is a Recorder that keeps nothing.
type discard struct{}

func (discard) Inv(record.Meta, []record.InvVect) {}
func (discard) Tx(record.Tx)                      {}
func (discard) Block(record.Block)                {}
func (discard) Ping(record.Ping)                  {}
func (discard) Pong(record.Pong)                  {}
func (discard) Version(record.Version)            {}
func (discard) Addr(record.Addr)                  {}
func (discard) Conn(record.ConnEnd)               {}

// hotPath gives an inv message to a stream in sequence, whole or in segments of a header and its payload, or of 1,448 bytes.
func hotPath(entries int, segments string) (give func(), size int) {
	c := New(Config{Out: discard{}}).Conn(newConn(true))
	m := inv(entries)
	c.Data(false, m, 1)
	parts := map[string][][]byte{"one": {m}, "header and payload": {m[:headerLen], m[headerLen:]}, "of 1448 bytes": slices.Collect(slices.Chunk(m, 1448))}[segments]
	return func() {
		for i, p := range parts {
			c.Data(false, p, record.Time(i+2))
		}
	}, len(m)
}

func TestInvDoesNotAllocate(t *testing.T) {
	for _, segments := range []string{"one", "header and payload", "of 1448 bytes"} {
		give, _ := hotPath(100, segments)
		if n := testing.AllocsPerRun(100, give); n != 0 {
			t.Errorf("segments %s: %v allocations a message, want 0", segments, n)
		}
	}
}

func BenchmarkStream(b *testing.B) {
	for _, entries := range []int{17, 100} {
		for _, segments := range []string{"one", "header and payload", "of 1448 bytes"} {
			b.Run(fmt.Sprintf("%d entries/segments %s", entries, segments), func(b *testing.B) {
				give, size := hotPath(entries, segments)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					give()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(entries), "ns/entry")
			})
		}
	}
}
