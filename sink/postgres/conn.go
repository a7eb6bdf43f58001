package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"btcsniff/record"
	"btcsniff/sink"
)

const insertConns = `
INSERT INTO connection (capture, id, a_address, a_port, b_address, b_port, local_a, local_b, opener_known, peer_address, peer_port,
                        peer_name, network, opened_at)
SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::int[], $5::text[], $6::int[], $7::boolean[], $8::boolean[], $9::boolean[],
                         $10::text[], $11::int[], $12::text[], $13::text[], $14::timestamptz[])
ON CONFLICT (id) DO NOTHING`

// storeConns makes rows for the connections that the part's records are of, as far as they aren't known to have one.
func (s *Sink) storeConns(ctx context.Context, db *pgx.Conn, p *part) error {
	var list []*record.Conn
	note := func(c *record.Conn) {
		if _, ok := s.conns.get(c.ID); !ok {
			s.conns.put(c.ID, struct{}{})
			list = append(list, c)
		}
	}
	p.each(func(_ record.Kind, _ int, m *record.Meta) { note(m.Conn) })
	for i := range p.batch.Conns {
		note(p.batch.Conns[i].Conn)
	}
	if len(list) == 0 {
		return nil
	}
	// In one order, so that writers of other captures with the same connections wait for each other but never in a circle.
	slices.SortFunc(list, func(a, b *record.Conn) int { return cmp.Compare(a.ID, b.ID) })
	var cols struct {
		ids                     []int64
		a, b, peer, name, net   []pgtype.Text
		aPort, bPort, peerPort  []int32
		localA, localB, openers []bool
		opened                  []pgtype.Timestamptz
	}
	for _, c := range list {
		peer := c.B
		if c.LocalB && !c.LocalA {
			peer = c.A
		}
		cols.ids = append(cols.ids, int64(c.ID))
		cols.a, cols.aPort = append(cols.a, text(c.A.Addr().String())), append(cols.aPort, int32(c.A.Port()))
		cols.b, cols.bPort = append(cols.b, text(c.B.Addr().String())), append(cols.bPort, int32(c.B.Port()))
		cols.peer, cols.peerPort = append(cols.peer, text(peer.Addr().String())), append(cols.peerPort, int32(peer.Port()))
		cols.localA, cols.localB = append(cols.localA, c.LocalA), append(cols.localB, c.LocalB)
		cols.openers = append(cols.openers, c.OpenerKnown)
		cols.name, cols.net = append(cols.name, textOrNull(c.PeerName())), append(cols.net, textOrNull(c.Network()))
		cols.opened = append(cols.opened, timestamp(c.OpenedAt))
	}
	if _, err := db.Exec(ctx, insertConns, p.capture.id, cols.ids, cols.a, cols.aPort, cols.b, cols.bPort, cols.localA, cols.localB,
		cols.openers, cols.peer, cols.peerPort, cols.name, cols.net, cols.opened); err != nil {
		return fmt.Errorf("store connections: %w", err)
	}
	return s.storePlaces(ctx, db, list)
}

// endConn completes the row of a connection. A later end, of a longer capture, replaces an earlier one.
const endConn = `
UPDATE connection SET closed_at = $2, start = $3, opener_known = $4, transport = $5, handshake_rtt_us = $6, user_agent = $7,
	network = coalesce(connection.network, $8), peer_name = coalesce(connection.peer_name, $9),
	a_segments = $10, a_bytes = $11, a_retransmitted = $12, a_lost = $13, a_unseen = $14, a_resyncs = $15, a_messages = $16,
	b_segments = $17, b_bytes = $18, b_retransmitted = $19, b_lost = $20, b_unseen = $21, b_resyncs = $22, b_messages = $23
FROM (SELECT id, closed_at FROM connection WHERE id = $1) was
WHERE connection.id = was.id AND (was.closed_at IS NULL OR was.closed_at < $2)
RETURNING was.closed_at IS NULL`

// storeEnds completes the connections that have ended, and counts those that had not ended before.
func (s *Sink) storeEnds(ctx context.Context, db *pgx.Conn, p *part) (added uint64, err error) {
	if len(p.batch.Conns) == 0 {
		return 0, nil
	}
	var queue pgx.Batch
	for i := range p.batch.Conns {
		r := &p.batch.Conns[i]
		queue.Queue(endConn, endArgs(r)...).QueryRow(func(row pgx.Row) error {
			var first bool
			err := row.Scan(&first)
			if err == pgx.ErrNoRows {
				return nil
			}
			if err == nil && first {
				added++
			}
			return err
		})
	}
	if err := db.SendBatch(ctx, &queue).Close(); err != nil {
		return 0, fmt.Errorf("store ends of connections: %w", err)
	}
	return added, nil
}

func endArgs(r *record.ConnEnd) []any {
	start := "midstream"
	if r.SYN {
		start = "syn"
	}
	args := []any{
		int64(r.Conn.ID), timestamp(r.ClosedAt), start, r.OpenerKnown, r.Transport.String(),
		pgtype.Int8{Int64: r.HandshakeRTT, Valid: r.HandshakeRTT >= 0}, textOrNull(r.UserAgent),
		textOrNull(r.Conn.Network()), textOrNull(r.Conn.PeerName()),
	}
	for _, f := range []*record.FlowCount{&r.A, &r.B} {
		args = append(args, int64(f.Segments), int64(f.Bytes), int64(f.Retransmitted), int64(f.Lost), int64(f.Unseen), int64(f.Resyncs), int64(f.Messages))
	}
	return args
}

// text is s as every sink stores it.
func text(s string) pgtype.Text { return pgtype.Text{String: sink.Text(s), Valid: true} }

// textOrNull is text, but null for an empty string.
func textOrNull(s string) pgtype.Text { return pgtype.Text{String: sink.Text(s), Valid: s != ""} }
