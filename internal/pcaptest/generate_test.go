package pcaptest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"btcsniff/capture"
	"btcsniff/record"
)

// In a coverage, what came first keeps its time, as in an array with an element for each byte.
func TestCoverage(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for round := range 500 {
		var c coverage
		var byByte [200]int64
		for step := range 1 + r.IntN(40) {
			from := r.IntN(190)
			to := from + r.IntN(1+min(40, 200-from))
			at := int64(1 + step/2)
			c.add(from, to, at)
			for i := from; i < to; i++ {
				if byByte[i] == 0 {
					byByte[i] = at
				}
			}
		}
		for range 20 {
			from := r.IntN(190)
			to := from + 1 + r.IntN(200-from)
			first, last, ok := c.times(from, to)
			want := !slices.Contains(byByte[from:to], 0)
			if ok != want || ok && (first != byByte[from] || last != slices.Max(byByte[from:to])) {
				t.Fatalf("round %d: times(%d, %d) = %d, %d, %v; bytes %v", round, from, to, first, last, ok, byByte[from:to])
			}
		}
		through := slices.Index(append(byByte[:], 0), 0)
		if got := c.through(); got != through {
			t.Fatalf("round %d: through() = %d, want %d", round, got, through)
		}
	}
}

// A flatFlow is one flow of a capture put back together in the most naive way: byte by byte.
type flatFlow struct {
	isn     uint32
	content []byte
	at      []int64 // when each byte was first captured; 0: never
}

// flatten puts flows back together whose SYN was captured and that fragments, cuts and reused ports don't concern.
func flatten(t *testing.T, l Layer, packets []capture.Packet) map[string]*flatFlow {
	t.Helper()
	flows := map[string]*flatFlow{}
	for _, p := range packets {
		packet, tcp := tcpOf(t, l, p.Data)
		src, dst := packet.NetworkLayer().NetworkFlow().Endpoints()
		key := fmt.Sprint(src, tcp.SrcPort, dst, tcp.DstPort)
		if tcp.SYN {
			if flows[key] == nil {
				flows[key] = &flatFlow{isn: tcp.Seq}
			}
			continue
		}
		f := flows[key]
		offset := int(int32(tcp.Seq - f.isn - 1))
		if offset < 0 || offset > len(f.content)+1_000_000 {
			continue // a stray
		}
		for i, b := range tcp.Payload {
			for len(f.content) <= offset+i {
				f.content, f.at = append(f.content, 0), append(f.at, 0)
			}
			if f.at[offset+i] == 0 {
				f.content[offset+i], f.at[offset+i] = b, p.Time
			}
		}
	}
	return flows
}

// messages walks through the flow's messages, and returns a line for each whose bytes are all there.
func (f *flatFlow) messages(t *testing.T, net Net) []string {
	t.Helper()
	var lines []string
	for at := 0; at+HeaderLen <= len(f.content); {
		header := f.content[at : at+HeaderLen]
		if !bytes.Equal(header[:4], net[:]) {
			t.Fatalf("no magic at %d of %d", at, len(f.content))
		}
		end := at + HeaderLen + int(binary.LittleEndian.Uint32(header[16:]))
		if end > len(f.content) {
			break
		}
		payload := f.content[at+HeaderLen : end]
		if sum := double(payload); !bytes.Equal(sum[:4], header[20:]) {
			t.Fatalf("bad checksum at %d of %d", at, len(f.content))
		}
		command := string(bytes.TrimRight(header[4:16], "\x00"))
		n := 1
		switch command {
		case "inv", "headers":
			n, _ = vectCount(payload)
		}
		for range n {
			lines = append(lines, line(command, record.FromNanos(slices.Max(f.at[at:end])), record.FromNanos(f.at[at])))
		}
		at = end
	}
	return lines
}

func vectCount(b []byte) (n, size int) {
	if b[0] == 0xfd {
		return int(binary.LittleEndian.Uint16(b[1:])), 3
	}
	return int(b[0]), 1
}

func line(command string, seen, first record.Time) string {
	return fmt.Sprint(command, " ", seen, " ", first)
}

// Whatever goes wrong with it, the packets hold the true messages at the true times.
func TestGenerateTruth(t *testing.T) {
	for _, list := range append(Impairments(), "none=0", "reorder=0.2,retransmit=0.2,resegment=0.2,conflict=0.2,late=0.1,zerowindow=0.1,keepalive=0.1,stray=0.1,jumbo,wrap,fin,halfclose") {
		if slices.Contains([]string{"hole", "reuse", "fragment", "offload"}, list) {
			continue // beyond this test's naive reader
		}
		t.Run(list, func(t *testing.T) {
			if list == "none=0" {
				list = "hole=0"
			}
			im, err := ParseImpair(list)
			if err != nil {
				t.Fatal(err)
			}
			cfg := Config{Seed: 3, Conns: 4, Duration: 6 * time.Second, IPv6: 0.3, SplitHead: 0.5, OneByte: 0.3, LookAlikes: 0.3, Layer: SLL2, Impair: im}
			traffic := Generate(cfg)
			var got, want []string
			for _, f := range flatten(t, cfg.Layer, traffic.Packets) {
				got = append(got, f.messages(t, Mainnet)...)
			}
			got = slices.DeleteFunc(got, func(s string) bool {
				for _, p := range []string{"verack", "wtxidrelay", "getdata", "addr", "feefilter", "futuristic"} {
					if bytes.HasPrefix([]byte(s), []byte(p)) {
						return true
					}
				}
				return false
			})
			for _, r := range traffic.Truth {
				command := r.Kind.String()
				if r.Kind == record.KindBlock {
					command = r.Via
				}
				want = append(want, line(command, r.SeenAt, r.FirstByteAt))
			}
			slices.Sort(got)
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
			if len(want) < 100 {
				t.Errorf("only %d records", len(want))
			}
		})
	}
}

func TestGenerateIsDeterministic(t *testing.T) {
	im, err := ParseImpair("all")
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(5) {
		cfg := Config{Seed: seed, Midstream: 0.5, OneWay: 0.1, IPv6: 0.3, SplitHead: 0.5, LookAlikes: 0.3, Impair: im, Duration: 5 * time.Second}
		a, b := Generate(cfg), Generate(cfg)
		if !bytes.Equal(Format{Nanos: true}.Append(nil, a.Packets), Format{Nanos: true}.Append(nil, b.Packets)) {
			t.Errorf("seed %d: two captures", seed)
		}
		if len(a.Truth) == 0 || !cmp.Equal(len(a.Truth), len(b.Truth)) {
			t.Errorf("seed %d: %d records, then %d", seed, len(a.Truth), len(b.Truth))
		}
		if !slices.IsSortedFunc(a.Packets, func(a, b capture.Packet) int { return int(a.Time - b.Time) }) || a.Packets[0].Time < Start {
			t.Errorf("seed %d: packets out of order", seed)
		}
	}
}

// Each impairment changes the capture.
func TestEachImpairment(t *testing.T) {
	cfg := Config{Seed: 1, Conns: 5, Duration: 4 * time.Second}
	plain := Format{}.Append(nil, Generate(cfg).Packets)
	for _, name := range Impairments() {
		c := cfg
		var err error
		if c.Impair, err = ParseImpair(name + "=0.9"); err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(plain, Format{}.Append(nil, Generate(c).Packets)) {
			t.Errorf("%s changes nothing", name)
		}
	}
}

func TestParseImpairRefuses(t *testing.T) {
	for _, list := range []string{"", "nonsense", "hole=2", "hole=-1", "hole=x", "hole,"} {
		if im, err := ParseImpair(list); err == nil {
			t.Errorf("ParseImpair(%q) = %+v, want an error", list, im)
		}
	}
}

func BenchmarkGenerate(b *testing.B) {
	im, err := ParseImpair("all")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		Generate(Config{Seed: 1, Impair: im})
	}
}
