-- The beginning of blocks: which blocks, and all that told of them. This text is for Postgres.
WITH long AS MATERIALIZED ( -- messages of many headers
    SELECT DISTINCT conn, from_b, pos FROM block
    WHERE via = 'headers' AND index >= 8 AND seen_at >= $1 AND seen_at < $2),
news AS MATERIALIZED (
    SELECT b.hash, b.seen_at, b.conn, b.via FROM block b
    WHERE NOT b.outbound AND b.seen_at >= $1 AND b.seen_at < $2 AND ($3::text = '' OR b.hash = decode($3, 'hex'))
      AND NOT EXISTS (SELECT FROM long l WHERE b.via = 'headers' AND l.conn = b.conn AND l.from_b = b.from_b AND l.pos = b.pos)),
item_news AS (
    SELECT hash, first_seen AS seen_at FROM item
    WHERE type IN (2, 3, 4, 1073741826) AND first_seen >= $1 AND first_seen < $2 AND ($3 = '' OR hash = decode($3, 'hex'))),
chosen AS MATERIALIZED (
    SELECT hash FROM (SELECT hash, seen_at FROM news UNION ALL SELECT hash, seen_at FROM item_news) n
    GROUP BY hash ORDER BY min(seen_at) DESC, hash LIMIT $4::bigint),
told AS (
    SELECT n.hash, n.seen_at, n.conn, n.via FROM news n JOIN chosen c ON c.hash = n.hash
    UNION ALL
    SELECT i.hash, i.seen_at, i.conn, 'inv' FROM inv i
    WHERE i.hash = ANY (ARRAY(SELECT hash FROM chosen)) AND i.type IN (2, 3, 4, 1073741826) AND NOT i.outbound
      AND i.seen_at >= $1 AND i.seen_at < $2)
