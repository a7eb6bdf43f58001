// Package capture yields packets in capture order: from files, from a growing set of files, or from
// several of these merged. It knows file formats and how capture programs name and rotate files; what is in a packet it leaves to
// others.
package capture

import "context"

// A LinkType says what a packet's first byte begins: a LINKTYPE_ number of tcpdump.org's registry.
// (gopacket's layers.LinkType is a uint8 and can't hold LINKTYPE_LINUX_SLL2, 276.)
type LinkType uint32

// A Packet is one captured packet. With nil Data it is a heartbeat: only Time has advanced.
type Packet struct {
	Data    []byte   // borrowed: valid until the next call to Next, or as long as Block is held
	Block   *Block   // what Data is in; nil: it can't be held
	Time    int64    // capture time in nanoseconds since the Unix epoch
	Len     int      // length on the wire; more than len(Data) if cut at the snap length
	Link    LinkType // of the file or interface that this packet came from
	Capture int      // index into Source.Captures: the continuous capture that this packet is of
}

// A Source yields packets in capture order. It is used by one goroutine.
type Source interface {
	// Next fills in p with the next packet. A finite source ends with io.EOF; what is wrong with one file is said in
	// Stats and does not end it. A live or followed source returns a heartbeat
	// when nothing arrives for a while, and ctx's error once ctx is done.
	Next(ctx context.Context, p *Packet) error
	// Captures says which continuous captures the source is made of. It may grow at the end, with Next.
	Captures() []Info
	// Stats may be called at any time, also by another goroutine.
	Stats() Stats
	Close() error
}

// An Info names a continuous capture.
type Info struct {
	Name  string   // its files' names without time stamp or counter; the interface's name
	Files []string // paths, in the order they are read; nil for an interface
}

// Stats says what was read.
type Stats struct {
	Packets   uint64
	Bytes     int64  // of files, as stored on disk, read so far
	Total     int64  // bytes of all files, 0 if not known
	Dropped   uint64 // packets that the kernel dropped, by its own or the file's count (pcapng's interface statistics)
	IfDropped uint64 // packets that the interface dropped
	Files     []FileStats
	Drops     []Drops // by index into Source.Captures: of Dropped and IfDropped, each one's; nil if only their sums are known
}

// Drops counts packets of one capture that are not in it.
type Drops struct {
	Kernel    uint64
	Interface uint64
}

// A Blind is a time in which one capture of a source could not see, or not everything: see record.Blind. Of one that goes on, there may
// be more of the same capture, reason and From later.
type Blind struct {
	Capture  int // index into Source.Captures
	Reason   string
	From, To int64  // by the clock that times packets, in nanoseconds since the Unix epoch
	Packets  uint64 // that are missing; 0 if that is not known
	Open     bool   // it goes on
}

// FileStats says what was read of one file.
type FileStats struct {
	Path        string
	Capture     int   // index into Source.Captures; -1 if the file could not be opened
	Size        int64 // bytes on disk; 0 for standard input
	Packets     uint64
	First, Last int64  // capture times, nanoseconds since the Unix epoch
	Header      bool   // a capture's header was read, perhaps no packet yet
	Done        bool   // all its packets were returned by Next, and it will not be read again
	Warning     string // the file ended within a packet, or the like: its whole packets were read
	Err         error  // the file is no capture, or could not be read to its end: names the file, where, and what to do
}
