package decode

import "btcsniff/record"

// message takes a message of total bytes whose checksum is right, and which began at s.start and was captured from s.first to s.latest.
// payload is borrowed; of one that is not kept it is only the beginning.
func (s *stream) message(h *header, payload []byte, total int, t treatment) {
	if !s.c.recognise(h.magic) {
		s.stats().Skipped += uint64(total)
		s.badHeader()
		return
	}
	s.messages++
	c := s.c.d.command(h.cmd())
	c.Messages++
	c.Bytes += uint64(total)
	if t == oversize || t != pass && !s.record(h, payload) {
		c.Malformed++
	}
}

// record makes the records of a message. It returns false if the payload is malformed; then there are none.
func (s *stream) record(h *header, payload []byte) bool {
	m := record.Meta{Conn: s.c.rec, SeenAt: s.latest, FirstByteAt: s.first, Pos: s.start, FromB: s.fromB}
	d := s.c.d
	out := d.cfg.Out
	var err error
	switch string(h.cmd()) {
	case "inv":
		if d.vects, err = parseInv(d.vects[:0], payload); err == nil && len(d.vects) > 0 {
			out.Inv(m, d.vects)
		}
	case "tx":
		r := record.Tx{Meta: m}
		if err = parseTx(payload, s.c.network.Name, &r); err == nil {
			out.Tx(r)
		}
	case "ping":
		r := record.Ping{Meta: m}
		if r.Nonce, err = parseNonce(payload); err == nil {
			s.c.ping(r, len(payload) > 0)
		}
	case "pong":
		if len(payload) == 0 {
			return false
		}
		r := record.Pong{Meta: m}
		if r.Nonce, err = parseNonce(payload); err == nil {
			s.c.pong(r)
		}
	case "version":
		r := record.Version{Meta: m}
		if err = parseVersion(payload, &r); err == nil {
			if s.c.versions == nil {
				s.c.versions = new([2]heard)
			}
			s.c.versions[s.side()] = heard{r.UserAgent, m.SeenAt}
			out.Version(r)
		}
	case "addr", "addrv2":
		parse := parseAddr
		if h.is("addrv2") {
			parse = parseAddrV2
		}
		err = parse(payload, func(r record.Addr) {
			r.Meta = m
			out.Addr(r)
		})
	case "headers":
		err = parseHeaders(payload, func(r record.Block) {
			r.Meta = m
			out.Block(r)
		})
	case "cmpctblock", "block":
		if len(payload) < blockHeaderSize {
			return false
		}
		r := record.Block{Meta: m, Via: string(h.cmd())}
		r.Hash, r.Prev = blockHash(payload[:blockHeaderSize])
		out.Block(r)
	}
	return err == nil
}
