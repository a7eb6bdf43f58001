// Package tshark asks Wireshark's tshark which Bitcoin messages are in a capture, in a form that can be compared with records. It only
// reads, and judges nothing.
package tshark

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"btcsniff/record"
)

// ErrMissing says that there is no tshark on this machine.
var ErrMissing = errors.New("tshark is not installed, which this compares with: apt-get install tshark, or brew install wireshark")

// An Item is one thing that a message says, with who said it to whom: what tshark and records both know of it. Items can be compared.
//
// tshark knows no txid. But a tx message's checksum is the beginning of its wtxid, so that and the length tell
// transactions apart.
type Item struct {
	Kind     record.Kind // inv, tx, block, ping, pong or version
	From, To netip.AddrPort
	What     [36]byte // inv: type, hash; tx: length, checksum; block: 1 for block and 2 for headers, previous block; others: nonce
}

// A Sighting is an Item with the time when its message was complete.
type Sighting struct {
	Item
	SeenAt record.Time
}

// String is for people: kind, time, endpoints and what the message says.
func (s Sighting) String() string {
	return fmt.Sprintf("%s  %v > %v  %s", s.SeenAt, s.From, s.To, s.Says())
}

// Says is What for people.
func (s Sighting) Says() string {
	number := binary.LittleEndian.Uint32(s.What[:])
	hash := record.Hash(s.What[4:])
	switch s.Kind {
	case record.KindInv:
		return fmt.Sprintf("type %d %v", number, hash)
	case record.KindTx:
		return fmt.Sprintf("%d bytes, checksum %x", number, s.What[4:8])
	case record.KindBlock:
		return fmt.Sprintf("on %v", hash)
	}
	return strconv.FormatUint(binary.LittleEndian.Uint64(s.What[:]), 10)
}

// Kinds are those that Items have.
func Kinds() []record.Kind {
	return []record.Kind{record.KindInv, record.KindTx, record.KindBlock, record.KindPing, record.KindPong, record.KindVersion}
}

// what makes an Item.What that begins with a number.
func what(n uint32, b []byte) (w [36]byte) {
	binary.LittleEndian.PutUint32(w[:], n)
	copy(w[4:], b)
	return w
}

func nonce(n uint64) (w [36]byte) {
	binary.LittleEndian.PutUint64(w[:], n)
	return w
}

// Inv is an inventory vector's What.
func Inv(v record.InvVect) [36]byte { return what(uint32(v.Type), v.Hash[:]) }

// Tx is a transaction's What: size is in bytes, with witnesses.
func Tx(wtxid record.Hash, size int) [36]byte { return what(uint32(size), wtxid[:4]) }

// Nonce is the What of a ping, pong or version.
func Nonce(n uint64) [36]byte { return nonce(n) }

// Block is the What of a block that the message via announced. ok is false for messages in which tshark doesn't look.
func Block(via string, prev record.Hash) (w [36]byte, ok bool) {
	switch via {
	case "block":
		return what(1, prev[:]), true
	case "headers":
		return what(2, prev[:]), true
	}
	return w, false
}

// Each calls f with everything in a batch that tshark could know.
func Each(b *record.Batch, f func(Sighting)) {
	tell := func(k record.Kind, m *record.Meta, w [36]byte) {
		f(Sighting{Item{k, m.From(), m.To(), w}, m.SeenAt})
	}
	for i := range b.Invs {
		m := &b.Invs[i]
		for _, v := range b.Vects[m.First : m.First+m.N] {
			tell(record.KindInv, &m.Meta, Inv(v))
		}
	}
	for i := range b.Txs {
		tell(record.KindTx, &b.Txs[i].Meta, Tx(b.Txs[i].WTxID, b.Txs[i].Size))
	}
	for i := range b.Blocks {
		if w, ok := Block(b.Blocks[i].Via, b.Blocks[i].Prev); ok {
			tell(record.KindBlock, &b.Blocks[i].Meta, w)
		}
	}
	for i := range b.Pings {
		tell(record.KindPing, &b.Pings[i].Meta, nonce(b.Pings[i].Nonce))
	}
	for i := range b.Pongs {
		tell(record.KindPong, &b.Pongs[i].Meta, nonce(b.Pongs[i].Nonce))
	}
	for i := range b.Versions {
		tell(record.KindVersion, &b.Versions[i].Meta, nonce(b.Versions[i].Nonce))
	}
}

// OutOfOrder is the preference with which tshark puts segments into order that came out of it. By default it does not.
const OutOfOrder = "tcp.reassemble_out_of_order:TRUE"

// columns are the fields that tshark is asked for.
var columns = []string{
	"frame.time_epoch", "ip.src", "ipv6.src", "tcp.srcport", "ip.dst", "ipv6.dst", "tcp.dstport",
	"bitcoin.command", "bitcoin.length", "bitcoin.checksum", "bitcoin.inv.type", "bitcoin.inv.hash",
	"bitcoin.block.prev_block", "bitcoin.headers.prev_block", "bitcoin.ping.nonce", "bitcoin.pong.nonce", "bitcoin.version.nonce",
}

const (
	colTime = iota
	colSrc4
	colSrc6
	colSrcPort
	colDst4
	colDst6
	colDstPort
	colCommand
	colLength
	colChecksum
	colInvType
	colInvHash
	colBlockPrev
	colHeadersPrev
	colPing
	colPong
	colVersion
)

// maxLine bounds a line of tshark's, which is a packet: bytes. An inv message has at most 50,000 hashes.
const maxLine = 64 << 20

// A Result says what tshark said beside the sightings.
type Result struct {
	Messages map[string]uint64 // by command
	Odd      uint64            // lines that we could not read; should be zero
}

// Read runs tshark on the files of one continuous capture, in their order, and calls each with all that it finds. Several files are
// handed to it as one, by Wireshark's mergecap. prefs are preferences of tshark's ("name:value", see its -o), beside its defaults. The
// error is ErrMissing, or says what tshark said.
func Read(ctx context.Context, files []string, each func(Sighting), prefs ...string) (*Result, error) {
	program, err := exec.LookPath("tshark")
	if err != nil {
		return nil, ErrMissing
	}
	args := []string{"-r", "-", "-n", "-Y", "bitcoin", "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=,"}
	for _, c := range columns {
		args = append(args, "-e", c)
	}
	for _, p := range prefs {
		args = append(args, "-o", p)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	if len(files) == 1 {
		cmd.Args[2] = files[0] // it may be compressed
		return run(cmd, each)
	}
	return merged(ctx, files, cmd, each)
}

// merged runs cmd with the files as its standard input.
func merged(ctx context.Context, files []string, cmd *exec.Cmd, each func(Sighting)) (*Result, error) {
	program, err := exec.LookPath("mergecap")
	if err != nil {
		return nil, fmt.Errorf("mergecap, which comes with it, is missing: %w", ErrMissing)
	}
	merge := exec.CommandContext(ctx, program, append([]string{"-a", "-w", "-", "--"}, files...)...)
	var said bytes.Buffer
	merge.Stderr = &said
	if cmd.Stdin, err = merge.StdoutPipe(); err != nil {
		return nil, fmt.Errorf("run mergecap: %w", err)
	}
	if err := merge.Start(); err != nil {
		return nil, fmt.Errorf("run mergecap: %w", err)
	}
	res, err := run(cmd, each)
	if mergeErr := merge.Wait(); err == nil && mergeErr != nil {
		err = fmt.Errorf("mergecap: %w: %s", mergeErr, lastLine(said.Bytes()))
	}
	return res, err
}

// run runs tshark and reads its lines.
func run(cmd *exec.Cmd, each func(Sighting)) (*Result, error) {
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("run tshark: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("run tshark: %w", err)
	}
	res, err := parse(out, each)
	if err != nil {
		cmd.Process.Kill() //nolint:errcheck // it may have ended
	}
	if waited := cmd.Wait(); err == nil && waited != nil {
		err = fmt.Errorf("%w: %s", waited, lastLine(said.Bytes()))
	}
	if err != nil {
		return nil, fmt.Errorf("tshark: %w", err)
	}
	return res, nil
}

// lastLine is the last line of what a program said, cut to a length for an error.
func lastLine(said []byte) string {
	lines := strings.Split(strings.TrimSpace(string(said)), "\n")
	text := lines[len(lines)-1]
	return text[:min(len(text), 300)]
}

// parse reads tshark's lines.
func parse(r io.Reader, each func(Sighting)) (*Result, error) {
	res := &Result{Messages: map[string]uint64{}}
	in := bufio.NewScanner(r)
	in.Buffer(nil, maxLine)
	for in.Scan() {
		fields := strings.Split(in.Text(), "\t")
		var l line
		if len(fields) != len(columns) || !l.address(fields) {
			res.Odd++
			continue
		}
		l.f, l.each = fields, each
		if !l.tell(res.Messages) {
			res.Odd++
		}
	}
	return res, in.Err()
}

// A line is what tshark says about one packet, with all messages that end in it.
type line struct {
	f        []string
	at       record.Time
	from, to netip.AddrPort
	each     func(Sighting)
}

// address reads time and endpoints.
func (l *line) address(f []string) bool {
	seconds, fraction, _ := strings.Cut(f[colTime], ".")
	s, err1 := strconv.ParseInt(seconds, 10, 64)
	ns, err2 := strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
	if err1 != nil || err2 != nil {
		return false
	}
	l.at = record.FromNanos(time.Unix(s, ns).UnixNano())
	var ok bool
	if l.from, ok = endpoint(f[colSrc4], f[colSrc6], f[colSrcPort]); !ok {
		return false
	}
	l.to, ok = endpoint(f[colDst4], f[colDst6], f[colDstPort])
	return ok
}

// endpoint makes an endpoint of tshark's fields. Of packets in packets the innermost counts.
func endpoint(v4, v6, port string) (netip.AddrPort, bool) {
	addr := v4
	if addr == "" {
		addr = v6
	}
	a, err1 := netip.ParseAddr(addr[strings.LastIndexByte(addr, ',')+1:])
	p, err2 := strconv.ParseUint(port[strings.LastIndexByte(port, ',')+1:], 10, 16)
	return netip.AddrPortFrom(a, uint16(p)), err1 == nil && err2 == nil
}

// values are a field's, one for each time that it occurs.
func (l *line) values(column int) []string {
	if l.f[column] == "" {
		return nil
	}
	return strings.Split(l.f[column], ",")
}

// tell tells all items, and counts messages by command. It says whether it understood everything.
func (l *line) tell(messages map[string]uint64) bool {
	commands, lengths, sums := l.values(colCommand), l.values(colLength), l.values(colChecksum)
	understood := len(commands) == len(lengths) && len(commands) == len(sums)
	for i, c := range commands {
		messages[c]++
		if c == "tx" && understood {
			understood = l.tx(lengths[i], sums[i])
		}
	}
	types, hashes := l.values(colInvType), l.values(colInvHash)
	understood = understood && len(types) == len(hashes)
	for i := range min(len(types), len(hashes)) {
		t, err := strconv.ParseUint(types[i], 0, 32)
		hash, ok := hash(hashes[i])
		if understood = understood && err == nil && ok; understood {
			l.item(record.KindInv, Inv(record.InvVect{Type: record.InvType(t), Hash: hash}))
		}
	}
	for via, column := range map[string]int{"block": colBlockPrev, "headers": colHeadersPrev} {
		for _, v := range l.values(column) {
			prev, ok := hash(v)
			w, _ := Block(via, prev)
			if understood = understood && ok; ok {
				l.item(record.KindBlock, w)
			}
		}
	}
	for kind, column := range map[record.Kind]int{record.KindPing: colPing, record.KindPong: colPong, record.KindVersion: colVersion} {
		for _, v := range l.values(column) {
			n, err := strconv.ParseUint(v, 0, 64)
			if understood = understood && err == nil; err == nil {
				l.item(kind, nonce(n))
			}
		}
	}
	return understood
}

func (l *line) item(k record.Kind, w [36]byte) {
	l.each(Sighting{Item{k, l.from, l.to, w}, l.at})
}

// tx tells a transaction by what the message's header says.
func (l *line) tx(length, sum string) bool {
	n, err1 := strconv.ParseUint(length, 10, 32)
	s, err2 := strconv.ParseUint(sum, 0, 32)
	if err1 != nil || err2 != nil {
		return false
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(s))
	l.item(record.KindTx, what(uint32(n), b[:]))
	return true
}

// hash reads a hash, which tshark shows as it is on the wire.
func hash(s string) (h record.Hash, ok bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(h) {
		return h, false
	}
	return record.Hash(b), true
}
