-- How announcements spread: for a sample of the transactions that were first announced from $1 to $2, by at least two connections,
-- when each connection told of them. The sample is the $3 hashes that are least, which is as good as one by lot, as hashes are, and the
-- same each time. Announcements by txid and by wtxid are looked at apart, and followed for ten minutes.
WITH announced AS (
    SELECT i.hash, min(m.seen_at) AS first_seen, min(m.least) < max(m.most) AS several
    FROM (SELECT item, min(seen_at) AS seen_at, min(conn) AS least, max(conn) AS most
          FROM (SELECT unnest(items) AS item, conn, seen_at FROM inv_message
                WHERE NOT outbound AND seen_at >= $1::TIMESTAMPTZ AND seen_at < $2::TIMESTAMPTZ)
          GROUP BY item) m
         JOIN item i ON i.id = m.item
    WHERE i.type IN (1, 5, 1073741825)
    GROUP BY i.hash),
sample AS MATERIALIZED (
    SELECT hash, first_seen, row_number() OVER (ORDER BY hash) AS number FROM announced WHERE several ORDER BY hash LIMIT $3),
wanted AS MATERIALIZED (
    SELECT i.id AS item, s.number, s.first_seen FROM item i JOIN sample s ON s.hash = i.hash WHERE i.type IN (1, 5, 1073741825))
SELECT w.number, min(m.seen_at) AS seen_at
FROM (SELECT unnest(items) AS item, conn, seen_at FROM inv_message
      WHERE NOT outbound AND seen_at >= $1::TIMESTAMPTZ AND seen_at < $2::TIMESTAMPTZ + INTERVAL 11 MINUTE) m
     JOIN wanted w ON w.item = m.item
WHERE m.seen_at < w.first_seen + INTERVAL 10 MINUTE
GROUP BY w.number, m.conn
ORDER BY w.number
