package record

// A Blind is a time in which a capture could not see, or not everything, or in which what it saw could not be kept. Analysis that says
// "nobody announced it before" has to know of it.
type Blind struct {
	Capture *Capture
	Reason  Reason
	From    Time // capture time; the same for all that is said of one interval while it goes on
	To      Time // as far as is known
	Open    bool // it goes on: the same interval will be told again, with a later To

	// What is missing; 0 where that is not known.
	Packets uint64
	Records uint64
	Bytes   uint64 // that the records would have taken in the spool
}

// A Reason says why a capture was blind.
type Reason string

// Reasons.
const (
	SpoolFull      Reason = "spool full"      // the database was away for so long that records had to be dropped
	Refused        Reason = "refused"         // the database refused records, which were set aside in the spool's folder
	KernelDrops    Reason = "kernel drops"    // packets, because the kernel's buffer was full
	InterfaceDrops Reason = "interface drops" // packets, by the interface or its driver
	InterfaceDown  Reason = "interface down"  // or gone
)
