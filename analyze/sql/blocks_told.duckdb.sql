-- The beginning of blocks: which blocks, and all that told of them. This text is for DuckDB.
WITH long AS MATERIALIZED ( -- messages of many headers
    SELECT DISTINCT conn, from_b, pos FROM block
    WHERE via = 'headers' AND index >= 8 AND seen_at >= $1 AND seen_at < $2),
news AS MATERIALIZED (
    SELECT b.hash, b.seen_at, b.conn, b.via FROM block b
    WHERE NOT b.outbound AND b.seen_at >= $1 AND b.seen_at < $2 AND ($3::text = '' OR b.hash = decode($3, 'hex'))
      AND NOT EXISTS (SELECT 1 FROM long l WHERE b.via = 'headers' AND l.conn = b.conn AND l.from_b = b.from_b AND l.pos = b.pos)),
entry AS MATERIALIZED (
    SELECT id, hash FROM item WHERE type IN (2, 3, 4, 1073741826) AND ($3 = '' OR hash = decode($3, 'hex'))),
announced AS MATERIALIZED (
    SELECT e.hash, m.seen_at, m.conn, 'inv' AS via
    FROM entry e JOIN inv_message m ON m.item_min <= e.id AND m.item_max >= e.id
    WHERE NOT m.outbound AND list_contains(m.items, e.id) AND m.seen_at >= $1 AND m.seen_at < $2),
chosen AS MATERIALIZED (
    SELECT hash FROM (SELECT hash, seen_at FROM news UNION ALL SELECT hash, seen_at FROM announced) n
    GROUP BY hash ORDER BY min(seen_at) DESC, hash LIMIT $4::bigint),
told AS (
    SELECT n.hash, n.seen_at, n.conn, n.via FROM (SELECT * FROM news UNION ALL SELECT * FROM announced) n JOIN chosen c ON c.hash = n.hash)
