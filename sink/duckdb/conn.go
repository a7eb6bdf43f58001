package duckdb

import (
	"database/sql/driver"

	"btcsniff/record"
	"btcsniff/sink"
)

// createStaged makes the table that a batch's connections are appended to before they are merged into connection.
const createStaged = `CREATE TEMP TABLE staged AS FROM connection LIMIT 0`

// mergeStaged makes rows for the connections that have none. The end of a connection completes its row; a later end, of a longer
// capture, replaces an earlier one.
const mergeStaged = `
INSERT INTO connection FROM staged
ON CONFLICT (id) DO UPDATE SET
	closed_at = excluded.closed_at, start = excluded.start, opener_known = excluded.opener_known, transport = excluded.transport,
	handshake_rtt_us = excluded.handshake_rtt_us, user_agent = excluded.user_agent,
	network = coalesce(connection.network, excluded.network), peer_name = coalesce(connection.peer_name, excluded.peer_name),
	a_segments = excluded.a_segments, a_bytes = excluded.a_bytes, a_retransmitted = excluded.a_retransmitted,
	a_lost = excluded.a_lost, a_unseen = excluded.a_unseen, a_resyncs = excluded.a_resyncs, a_messages = excluded.a_messages,
	b_segments = excluded.b_segments, b_bytes = excluded.b_bytes, b_retransmitted = excluded.b_retransmitted,
	b_lost = excluded.b_lost, b_unseen = excluded.b_unseen, b_resyncs = excluded.b_resyncs, b_messages = excluded.b_messages
WHERE excluded.closed_at IS NOT NULL AND (connection.closed_at IS NULL OR connection.closed_at < excluded.closed_at);
DELETE FROM staged`

// stageConns appends the connections that the part's records are of, and that aren't known to have a row, and those that ended. Each
// is appended once. It returns how many ends are new.
func (s *Sink) stageConns(w *writer, p *part) (added uint64, err error) {
	ends := make(map[uint64]*record.ConnEnd, len(p.batch.Conns))
	for i := range p.batch.Conns {
		r := &p.batch.Conns[i]
		last := ends[r.Conn.ID]
		if last == nil && p.fresh(record.KindConn, &record.Meta{Conn: r.Conn}, 0) {
			added++
		}
		if last == nil || last.ClosedAt < r.ClosedAt {
			ends[r.Conn.ID] = r
		}
	}
	s.placed = false
	places := map[string]bool{}
	for id, r := range ends {
		if err := w.row("temp", "staged", connRow(p.capture, r.Conn, r)...); err != nil {
			return 0, err
		}
		if _, known := s.conns.get(id); !known {
			if err := s.stagePlace(w, r.Conn, places); err != nil {
				return 0, err
			}
		}
		s.conns.put(id, struct{}{})
	}
	p.each(func(m *record.Meta) {
		if _, known := s.conns.get(m.Conn.ID); known || err != nil {
			return
		}
		if err = w.row("temp", "staged", connRow(p.capture, m.Conn, nil)...); err == nil {
			err = s.stagePlace(w, m.Conn, places)
		}
		s.conns.put(m.Conn.ID, struct{}{})
	})
	return added, err
}

// connRow returns a row of connection. end is nil while the connection is open.
func connRow(capture int32, c *record.Conn, end *record.ConnEnd) []driver.Value {
	peer := c.B
	if c.LocalB && !c.LocalA {
		peer = c.A
	}
	row := []driver.Value{
		int64(c.ID), capture, c.A.Addr().String(), int32(c.A.Port()), c.B.Addr().String(), int32(c.B.Port()),
		c.LocalA, c.LocalB, c.OpenerKnown, peer.Addr().String(), int32(peer.Port()),
		textOrNull(c.PeerName()), textOrNull(c.Network()), c.OpenedAt.Std(),
	}
	if end == nil {
		return append(row, make([]driver.Value, 19)...)
	}
	row[8] = end.OpenerKnown
	start := "midstream"
	if end.SYN {
		start = "syn"
	}
	var rtt driver.Value
	if end.HandshakeRTT >= 0 {
		rtt = end.HandshakeRTT
	}
	row = append(row, end.ClosedAt.Std(), start, end.Transport.String(), rtt, textOrNull(end.UserAgent))
	for _, f := range []*record.FlowCount{&end.A, &end.B} {
		row = append(row, int64(f.Segments), int64(f.Bytes), int64(f.Retransmitted), int64(f.Lost), int64(f.Unseen), int64(f.Resyncs), int64(f.Messages))
	}
	return row
}

// textOrNull is s as every sink stores it, or null for an empty string.
func textOrNull(s string) driver.Value {
	if s == "" {
		return nil
	}
	return sink.Text(s)
}
