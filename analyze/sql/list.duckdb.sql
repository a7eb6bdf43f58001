-- Transactions in the order of their first sightings, for those from $1 to $2: the latest come first, or if $7 the earliest. $3 is who was
-- first, an address, an address and port or a name, and $4 where that is, as in peer_place.place; '' is anybody and anywhere. $5 is how
-- many transactions are wanted at most, behind $8 others. $6, in Postgres the least lead, is not looked at here. This text is for DuckDB.
WITH announced AS MATERIALIZED (
    SELECT i.hash, m.conn, m.seen_at
    FROM (SELECT seen_at, conn, unnest(items) AS item FROM inv_message WHERE NOT outbound AND seen_at >= $1 AND seen_at < $2) m
         JOIN item i ON i.id = m.item
    WHERE i.type IN (1, 5, 1073741825)),
told AS ( -- the first sighting of each announced hash in the time, and all by tx messages
    SELECT hash, min(seen_at) AS seen_at, arg_min(conn, row(seen_at, conn)) AS conn FROM announced GROUP BY hash
    UNION ALL
    SELECT wtxid, seen_at, conn FROM tx WHERE NOT outbound AND seen_at >= $1 AND seen_at < $2),
first AS MATERIALIZED ( -- by its txid, where that is known
    SELECT coalesce(t.txid, w.hash) AS hash, min(w.seen_at) AS seen_at, arg_min(w.conn, row(w.seen_at, w.conn)) AS conn
    FROM told w LEFT JOIN tx_hash t ON t.wtxid = w.hash
    GROUP BY coalesce(t.txid, w.hash)),
entry AS MATERIALIZED ( -- by whatever name
    SELECT DISTINCT i.id, n.hash
    FROM (SELECT hash, hash AS name FROM first UNION SELECT f.hash, t.wtxid FROM first f JOIN tx t ON t.txid = f.hash) n
         JOIN item i ON i.hash = n.name
    WHERE i.type IN (1, 5, 1073741825)),
earlier AS MATERIALIZED ( -- than the time asked for
    SELECT e.hash
    FROM (SELECT unnest(items) AS item FROM inv_message
          WHERE NOT outbound AND seen_at < $1 AND item_max >= (SELECT min(id) FROM entry)) m
         JOIN entry e ON e.id = m.item
    UNION
    SELECT f.hash FROM first f JOIN tx t ON t.txid = f.hash WHERE NOT t.outbound AND t.seen_at < $1)
SELECT encode(f.hash, 'hex') AS hash, f.seen_at AS first_seen, s.name AS sensor, k.network, k.peer_address, k.peer_port, k.peer_name,
       p.place, p.country, p.asn, p.organisation, f.conn
FROM first f
     JOIN connection k ON k.id = f.conn
     JOIN capture c ON c.id = k.capture
     JOIN sensor s ON s.id = c.sensor
     LEFT JOIN peer_place p ON p.conn = f.conn
WHERE ($3::text = '' OR k.peer_address = $3 OR k.peer_name = $3 OR starts_with(k.peer_name, $3 || ':')
       OR $3 = CASE WHEN k.peer_address LIKE '%:%' THEN '[' || k.peer_address || ']' ELSE k.peer_address END || ':' || k.peer_port::text)
  AND ($4::text = '' OR p.place = $4)
  AND f.hash NOT IN (SELECT hash FROM earlier)
  AND $6::bigint IS NOT NULL -- each parameter must be somewhere
ORDER BY CASE WHEN $7::boolean THEN f.seen_at END, f.seen_at DESC, f.hash
LIMIT $5::bigint OFFSET $8::bigint
