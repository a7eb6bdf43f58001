-- How announcements spread: for a sample of the transactions that were first announced from $1 to $2, by at least two connections,
-- when each connection told of them. The sample is the $3 hashes that are least, which is as good as one by lot, as hashes are, and the
-- same each time. Announcements by txid and by wtxid are looked at apart, and followed for ten minutes. This text looks only at the $4 hashes
-- that are least: where they make no whole sample, summary_spread.duckdb.sql looks at all.
WITH span AS MATERIALIZED ( -- of the items that messages of this time may hold
    SELECT min(item_min) AS least, max(item_max) AS most FROM inv_message
    WHERE NOT outbound AND seen_at >= $1::TIMESTAMPTZ AND seen_at < $2::TIMESTAMPTZ),
maybe AS MATERIALIZED (
    SELECT DISTINCT hash FROM item
    WHERE type IN (1, 5, 1073741825) AND id >= (SELECT least FROM span) AND id <= (SELECT most FROM span)
    ORDER BY hash LIMIT $4),
wanted AS MATERIALIZED (
    SELECT i.id AS item, i.hash FROM item i JOIN maybe USING (hash) WHERE i.type IN (1, 5, 1073741825)),
told AS MATERIALIZED (
    SELECT w.hash, m.conn, m.seen_at
    FROM wanted w JOIN inv_message m ON m.item_min <= w.item AND m.item_max >= w.item -- which reads few messages
    WHERE NOT m.outbound AND m.seen_at >= $1::TIMESTAMPTZ AND m.seen_at < $2::TIMESTAMPTZ + INTERVAL 11 MINUTE
      AND list_contains(m.items, w.item)),
sample AS MATERIALIZED (
    SELECT hash, min(seen_at) AS first_seen, row_number() OVER (ORDER BY hash) AS number
    FROM told WHERE seen_at < $2::TIMESTAMPTZ
    GROUP BY hash HAVING min(conn) < max(conn) ORDER BY hash LIMIT $3)
SELECT s.number, min(t.seen_at) AS seen_at
FROM sample s JOIN told t ON t.hash = s.hash
WHERE t.seen_at < s.first_seen + INTERVAL 10 MINUTE
GROUP BY s.number, t.conn
ORDER BY s.number
