// Package decode finds Bitcoin P2P messages in the two streams of a connection and turns them into records. It
// knows the framing of v1 messages, what comes before them (SOCKS5, HTTP CONNECT), and how to tell encrypted and foreign
// streams; TCP it leaves to whoever calls Data and Gap.
package decode

import (
	"crypto/sha256"

	"btcsniff/record"
	"btcsniff/v2"
)

// A Recorder takes records as they are decoded, in stream order, from one goroutine.
type Recorder interface {
	Inv(m record.Meta, vects []record.InvVect) // vects is borrowed for the call
	Tx(record.Tx)
	Block(record.Block)
	Ping(record.Ping)
	Pong(record.Pong)
	Version(record.Version)
	Addr(record.Addr)
	Conn(record.ConnEnd)
}

// Config says what a Decoder does.
type Config struct {
	Out       Recorder         // required
	Networks  []record.Network // recognised ones; nil means record.Networks
	Keys      *v2.Keys         // secrets of v2 connections; nil: there are none
	MaxBuffer int              // bytes of unfinished messages that all streams together may keep, and as much again of small ones; 0 means 64 MiB
}

// A Decoder decodes the connections of one capture. It is used by one goroutine.
type Decoder struct {
	cfg      Config
	vects    []record.InvVect // scratch for the inv at hand
	free     []*passing       // that no stream uses
	spare    []buffer         // likewise
	buffered int              // bytes that streams keep, with what their capture times take
	stats    Stats
	open     [record.TransportV2 + 1]uint64 // connections that aren't closed, by transport
}

// Stats counts what a Decoder was given and what became of it:
// the bytes of all Data calls = the sum of Commands' Bytes + EncryptedV2 + Proxy + NotBitcoin + Skipped + Incomplete
// + what unfinished streams keep.
type Stats struct {
	Commands     map[string]*record.Command
	BadChecksums map[string]uint64 // messages, by command
	BadHeaders   uint64            // times a message should have begun where none did
	Resyncs      uint64            // times the next message was searched for
	EncryptedV2  uint64            // bytes
	Proxy        uint64            // bytes of SOCKS5 and HTTP CONNECT
	NotBitcoin   uint64            // bytes
	Skipped      uint64            // bytes
	Incomplete   uint64            // bytes of messages under way when their stream ended
	Evicted      uint64            // messages not decoded, or passed over in a search, because too much was kept or looked at
	Conns        map[string]record.Class
}

const (
	defaultMaxBuffer = 64 << 20
	maxCommands      = 256     // different commands that are counted by name; a hostile peer can invent more
	otherCommands    = "other" // counts the rest
)

// New returns a Decoder.
func New(cfg Config) *Decoder {
	if cfg.Networks == nil {
		cfg.Networks = record.Networks()
	}
	if cfg.MaxBuffer == 0 {
		cfg.MaxBuffer = defaultMaxBuffer
	}
	return &Decoder{cfg: cfg, stats: Stats{
		Commands:     map[string]*record.Command{},
		BadChecksums: map[string]uint64{},
		Conns:        map[string]record.Class{},
	}}
}

// Stats returns the counts so far; its maps are the Decoder's own.
func (d *Decoder) Stats() *Stats { return &d.stats }

// Open is the number of connections of a transport that aren't closed.
func (d *Decoder) Open(t record.Transport) uint64 { return d.open[t] }

// command returns the counts of a command. name is borrowed.
func (d *Decoder) command(name []byte) *record.Command {
	if c := d.stats.Commands[string(name)]; c != nil {
		return c
	}
	key := string(name)
	if len(d.stats.Commands) >= maxCommands {
		key = otherCommands
		if c := d.stats.Commands[key]; c != nil {
			return c
		}
	}
	c := new(record.Command)
	d.stats.Commands[key] = c
	return c
}

// network returns the network whose messages begin with magic.
func (d *Decoder) network(magic []byte) (record.Network, bool) {
	for _, n := range d.cfg.Networks {
		if string(n.Magic[:]) == string(magic) {
			return n, true
		}
	}
	return record.Network{}, false
}

// named returns the network of that name.
func (d *Decoder) named(name string) (record.Network, bool) {
	for _, n := range d.cfg.Networks {
		if n.Name == name {
			return n, true
		}
	}
	return record.Network{}, false
}

func (d *Decoder) newPassing() *passing {
	if n := len(d.free); n > 0 {
		p := d.free[n-1]
		d.free = d.free[:n-1]
		p.sum.Reset()
		return p
	}
	return &passing{sum: sha256.New()}
}
