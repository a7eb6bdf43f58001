package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/google/gopacket/tcpassembly"
)

// counts is what the least analyzer finds. It prints them in one line, for parseCounts.
type counts struct {
	packets, bytes, messages, vects, tx int
	span                                time.Duration
}

const countsFormat = "packets %d bytes %d messages %d vects %d tx %d nanoseconds %d\n"

func parseCounts(line string) (counts, error) {
	var c counts
	if _, err := fmt.Sscanf(line, countsFormat, &c.packets, &c.bytes, &c.messages, &c.vects, &c.tx, &c.span); err != nil {
		return c, fmt.Errorf("read the least analyzer's counts %q: %w", line, err)
	}
	return c, nil
}

// least is the least that an analyzer on gopacket and tcpassembly can do: it takes packets apart, puts streams back together,
// frames messages, verifies their checksums and walks through their inventory vectors. It decodes nothing else and stores
// nothing.
func least(path string, stdout io.Writer) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	var c counts
	assembler := tcpassembly.NewAssembler(tcpassembly.NewStreamPool(&factory{&c}))
	// Flows whose SYN was not captured are else held until a flush.
	assembler.MaxBufferedPagesPerConnection = 1
	var eth layers.Ethernet
	var ip4 layers.IPv4
	var ip6 layers.IPv6
	var tcp layers.TCP
	var payload gopacket.Payload
	parser := gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &eth, &ip4, &ip6, &tcp, &payload)
	decoded := make([]gopacket.LayerType, 0, 8)
	var first, last time.Time
	for {
		data, info, err := r.ZeroCopyReadPacketData()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		if c.packets++; first.IsZero() {
			first = info.Timestamp
		}
		last = info.Timestamp
		c.bytes += len(data)
		if parser.DecodeLayers(data, &decoded) != nil || len(decoded) < 3 || decoded[2] != layers.LayerTypeTCP {
			continue
		}
		flow := ip4.NetworkFlow()
		if decoded[1] == layers.LayerTypeIPv6 {
			flow = ip6.NetworkFlow()
		}
		assembler.AssembleWithTimestamp(flow, &tcp, info.Timestamp)
	}
	assembler.FlushAll()
	c.span = last.Sub(first)
	_, err = fmt.Fprintf(stdout, countsFormat, c.packets, c.bytes, c.messages, c.vects, c.tx, c.span)
	return err
}

type factory struct{ c *counts }

func (f *factory) New(_, _ gopacket.Flow) tcpassembly.Stream { return &stream{c: f.c} }

// A stream frames the messages of one flow.
type stream struct {
	c   *counts
	buf []byte // of a message that is not complete
}

var magic = []byte{0xf9, 0xbe, 0xb4, 0xd9}

const (
	header     = 24
	maxPayload = 4_000_000
)

func (s *stream) Reassembled(rs []tcpassembly.Reassembly) {
	for _, r := range rs {
		if r.Skip != 0 {
			s.buf = s.buf[:0]
		}
		b := r.Bytes
		if len(s.buf) > 0 {
			s.buf = append(s.buf, b...)
			b = s.buf
		}
		n := s.frame(b)
		s.buf = append(s.buf[:0], b[n:]...)
	}
}

func (s *stream) ReassemblyComplete() {}

// frame takes the whole messages from b and returns how many bytes are done with.
func (s *stream) frame(b []byte) int {
	at := 0
	for len(b)-at >= header {
		if !bytes.Equal(b[at:at+4], magic) {
			skip := bytes.Index(b[at+1:], magic)
			if skip < 0 {
				return len(b) - 3
			}
			at += 1 + skip
			continue
		}
		length := int(binary.LittleEndian.Uint32(b[at+16:]))
		if length > maxPayload {
			at++
			continue
		}
		if len(b)-at < header+length {
			break
		}
		if !s.message(b[at+4:at+16], b[at+header:at+header+length], b[at+20:at+24]) {
			at++
			continue
		}
		at += header + length
	}
	return at
}

// message counts a message, if its checksum is right.
func (s *stream) message(command, payload, checksum []byte) bool {
	sum := sha256.Sum256(payload)
	sum = sha256.Sum256(sum[:])
	if !bytes.Equal(sum[:4], checksum) {
		return false
	}
	s.c.messages++
	switch {
	case bytes.HasPrefix(command, []byte("inv\x00")):
		s.c.vects += walk(payload)
	case bytes.HasPrefix(command, []byte("tx\x00")):
		s.c.tx++
	}
	return true
}

// walk goes through the vectors of an inv message and counts those of a known kind.
func walk(b []byte) (n int) {
	skip := 1
	if len(b) > 0 && b[0] == 0xfd {
		skip = 3
	}
	for b = b[min(skip, len(b)):]; len(b) >= 36; b = b[36:] {
		if kind := binary.LittleEndian.Uint32(b) &^ (1 << 30); 1 <= kind && kind <= 5 {
			n++
		}
	}
	return n
}
