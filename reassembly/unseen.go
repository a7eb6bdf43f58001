package reassembly

// How much the capture missed, in the manner of Zeek's capture-loss script (policy/misc/capture-loss.zeek): what one side
// acknowledged although it was never captured. An acknowledgment alone proves nothing, since a hostile receiver can acknowledge what was
// never sent. So a byte counts only if the sender's own sequence numbers are beyond it: those of bytes behind a hole, or those of
// its segments without bytes, which carry the number of what it sends next (RFC 9293, section 3.10.7.4: "<SEQ=SND.NXT>").

// reached notes that a segment without bytes, ahead of all that was captured of the flow, says that what is before seq was sent.
func (h *half) reached(seq uint32) {
	if d := seq - h.next; h.started && d <= maxAhead && (d > h.sent-h.next || h.sent-h.next > maxAhead) {
		h.sent = seq
	}
}

// tail is the number of bytes behind the last one that was captured, or given up, that the side sent and the other one received.
func (h *half) tail() int {
	n := int(min(int32(h.acked-h.next), int32(h.sent-h.next)))
	if !h.started || !h.hasAck || n > maxAhead || n <= 1 { // RFC 9293, section 3.4: a FIN takes a number, too
		return 0
	}
	return n
}

// missed counts bytes that the capture missed, if there are any.
func (a *Assembler) missed(h *half, n int) {
	if n > 0 {
		a.stats.Unseen += uint64(n)
		h.count.unseen += uint64(n)
	}
}
