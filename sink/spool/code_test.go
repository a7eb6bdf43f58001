package spool

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"btcsniff/record"
)

const start record.Time = 1759791402_000000 // 2025-10-06T22:56:42Z

func newCapture(name string) *record.Capture {
	return &record.Capture{Sensor: "lab", Name: name, First: start, Digest: [32]byte{1, 2, 3}}
}

// newConn returns the connection that peer n opened to the observed node.
func newConn(c *record.Capture, n byte) *record.Conn {
	a, b := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, n}), 50_000), netip.MustParseAddrPort("[2001:db8::1]:8333")
	conn := &record.Conn{
		ID: record.ConnID(c.Sensor, a, b, start), Capture: c, A: a, B: b, OpenerKnown: true, OpenedAt: start - 5, Number: uint64(n), LocalB: true,
	}
	conn.SetNetwork("mainnet")
	conn.SetPeerName("peer.example:8333")
	return conn
}

// a filler sets all that is exported in a value to something that is not zero, and different.
type filler struct {
	n    uint64
	conn *record.Conn
}

func (f *filler) fill(v reflect.Value) {
	f.n++
	switch x := v.Addr().Interface().(type) {
	case **record.Conn:
		*x = f.conn
		return
	case *netip.AddrPort:
		*x = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(f.n)}), uint16(f.n))
		return
	case *record.Transport:
		*x = record.TransportV2
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			f.fill(v.Index(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			f.fill(v.Index(i))
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("a\x00\xff" + string(rune('a'+f.n%26)))
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(int64(f.n) - 40)
	case reflect.Uint8:
		v.SetUint(f.n % 256)
	default:
		v.SetUint(f.n)
	}
}

// filled returns a batch of two records of each kind, with every field set.
func filled(t testing.TB, c *record.Capture) *record.Batch {
	t.Helper()
	f := filler{conn: newConn(c, 7)}
	b := &record.Batch{}
	f.fill(reflect.ValueOf(b).Elem().FieldByName("Seq"))
	v := reflect.ValueOf(b).Elem()
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; name != "Order" && name != "Capture" {
			f.fill(v.Field(i))
		}
	}
	for k := range record.NumKinds {
		b.Order = append(b.Order, record.Ref{Kind: k, Index: 0}, record.Ref{Kind: k, Index: 1})
	}
	b.Capture = c
	b.Invs[0].First, b.Invs[0].N, b.Invs[1].First, b.Invs[1].N = 0, 1, 1, 1
	return b
}

// same compares batches with their connections.
func same(t testing.TB, want, got *record.Batch) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
		cmp.Transformer("conn", func(c *record.Conn) map[string]any {
			return map[string]any{
				"id": c.ID, "capture": *c.Capture, "a": c.A, "b": c.B, "opener": c.OpenerKnown, "opened": c.OpenedAt, "number": c.Number,
				"local": []bool{c.LocalA, c.LocalB}, "network": c.Network(), "peer": c.PeerName(),
			}
		})); diff != "" {
		t.Errorf("batch (-want +got):\n%s", diff)
	}
}

// TestEveryField writes batches in which every field is set, whatever fields there are, and reads them.
func TestEveryField(t *testing.T) {
	for _, tt := range []struct {
		name  string
		batch *record.Batch
	}{
		{"every field", filled(t, newCapture("eth0"))},
		{"nothing", &record.Batch{Capture: newCapture("eth0")}},
		{"zero values", &record.Batch{Capture: newCapture("eth0"), Order: make([]record.Ref, 1), Invs: []record.Inv{{Meta: record.Meta{Conn: newConn(newCapture("eth0"), 1)}}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := encodeBatch(nil, tt.batch)
			if err != nil {
				t.Fatal(err)
			}
			got, err := decodeBatch(b, func(c record.Capture) *record.Capture { return &c })
			if err != nil {
				t.Fatal(err)
			}
			same(t, tt.batch, got)
			for n := range b {
				if _, err := decodeBatch(b[:n], func(c record.Capture) *record.Capture { return &c }); err == nil {
					t.Fatalf("%d of %d bytes decode", n, len(b))
				}
			}
		})
	}
}

// TestEveryConnField has as many fields in Conn as conn knows of, two of them behind methods.
func TestEveryConnField(t *testing.T) {
	if n := reflect.TypeFor[record.Conn]().NumField(); n != 11 {
		t.Errorf("record.Conn has %d fields, want 11: let coder.conn know of the new ones", n)
	}
}

func TestEntries(t *testing.T) {
	c := newCapture("eth0")
	for _, tt := range []struct {
		name  string
		entry entry
	}{
		{"blind", entry{blind: &record.Blind{Capture: c, Reason: record.SpoolFull, From: start, To: start + 7, Open: true, Packets: 1, Records: 1 << 60, Bytes: 3}}},
		{"end", entry{end: &ending{capture: c, Ledger: &record.Ledger{PacketsRead: 9, Made: map[string]uint64{"inv": 3}}, Files: []record.File{{Name: "a", Size: 1}}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, b, err := tt.entry.encode([]byte("before"))
			if err != nil {
				t.Fatal(err)
			}
			got, err := decode(h.kind, b[len("before"):], func(c record.Capture) *record.Capture { return &c })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.entry, got, cmp.AllowUnexported(entry{}, ending{})); diff != "" {
				t.Errorf("entry (-want +got):\n%s", diff)
			}
			if _, err := decode(h.kind, []byte("befor"), func(c record.Capture) *record.Capture { return &c }); err == nil {
				t.Error("garbage decodes")
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	b, err := encodeBatch(nil, filled(f, newCapture("eth0")))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint8(batchEntry), b)
	f.Add(uint8(endEntry), []byte(`{}`))
	f.Fuzz(func(t *testing.T, k uint8, b []byte) {
		e, err := decode(kind(k), b, func(c record.Capture) *record.Capture { return &c })
		if err != nil || e.batch == nil {
			return
		}
		// What is understood is written again, and read, to the same.
		_, again, err := e.encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		once, err := decode(batchEntry, again, func(c record.Capture) *record.Capture { return &c })
		if err != nil {
			t.Fatal(err)
		}
		if _, twice, err := once.encode(nil); err != nil || !bytes.Equal(again, twice) {
			t.Fatalf("written twice: %x, then %x: %v", again, twice, err)
		}
	})
}
