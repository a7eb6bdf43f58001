-- Transactions in the order of their first sightings, for those from $1 to $2: the latest come first, or if $7 the earliest. $3 is who was
-- first, an address, an address and port or a name, and $4 where that is, as in peer_place.place; '' is anybody and anywhere. $5 is how
-- many transactions are wanted at most, behind $8 others. $6 is the least lead over the second, in microseconds; 0 is any. Some with less
-- are in the answer, too: those of which other messages than the two earliest of an item have to be looked at. This text is for DuckDB.
WITH wanted AS MATERIALIZED ( -- connections that may have been first
    SELECT k.id AS conn, k.capture, k.network, k.peer_address, k.peer_port, k.peer_name, p.place, p.country, p.asn, p.organisation
    FROM connection k LEFT JOIN peer_place p ON p.conn = k.id
    WHERE ($3::text = '' OR k.peer_address = $3 OR k.peer_name = $3 OR starts_with(k.peer_name, $3 || ':')
           OR $3 = CASE WHEN k.peer_address LIKE '%:%' THEN '[' || k.peer_address || ']' ELSE k.peer_address END || ':' || k.peer_port::text)
      AND ($4::text = '' OR p.place = $4)),
early AS MATERIALIZED ( -- by numbers first; two messages of one item may be of one connection
    SELECT m.item, i.hash, m.seen[1] AS seen_at, m.seen[2] AS then_at
    FROM (SELECT item, min(seen_at, 2) AS seen
          FROM (SELECT seen_at, unnest(items) AS item FROM inv_message
                WHERE NOT outbound AND seen_at >= $1 AND seen_at < $2 AND EXISTS (FROM wanted))
          GROUP BY item) m
         JOIN item i ON i.id = m.item
    WHERE i.type IN (1, 5, 1073741825)),
announced AS ( -- of several in the same microsecond, the connection with the least number
    SELECT e.hash, e.seen_at, min(CASE WHEN m.seen_at = e.seen_at THEN m.conn END) AS conn,
           min(m.conn) < max(m.conn) AND epoch_us(e.then_at) - epoch_us(e.seen_at) < $6::bigint AS near
    FROM (SELECT seen_at, conn, unnest(items) AS item FROM inv_message
          WHERE NOT outbound AND seen_at >= $1 AND seen_at < $2
            AND seen_at IN (SELECT seen_at FROM early UNION ALL SELECT then_at FROM early WHERE $6::bigint > 0)) m
         JOIN early e ON e.item = m.item
    WHERE m.seen_at = e.seen_at OR m.seen_at = e.then_at
    GROUP BY e.item, e.hash, e.seen_at, e.then_at),
told AS ( -- the first sighting of each announced hash in the time, and all by tx messages
    SELECT hash, seen_at, conn, near FROM announced
    UNION ALL
    SELECT wtxid, seen_at, conn, false FROM tx WHERE NOT outbound AND seen_at >= $1 AND seen_at < $2),
named AS ( -- by its txid, where that is known
    SELECT coalesce(t.txid, w.hash) AS hash, min(w.seen_at) AS seen_at, arg_min(w.conn, row(w.seen_at, w.conn)) AS conn,
           coalesce(arg_min(w.near, row(w.seen_at, w.conn)), false) AS near
    FROM told w LEFT JOIN tx_hash t ON t.wtxid = w.hash
    GROUP BY coalesce(t.txid, w.hash)),
first AS MATERIALIZED (
    SELECT n.hash, n.seen_at, w.* FROM named n JOIN wanted w ON w.conn = n.conn WHERE NOT n.near),
entry AS MATERIALIZED ( -- by whatever name
    SELECT DISTINCT i.id, n.hash
    FROM (SELECT hash, hash AS name FROM first UNION SELECT f.hash, t.wtxid FROM first f JOIN tx t ON t.txid = f.hash) n
         JOIN item i ON i.hash = n.name
    WHERE i.type IN (1, 5, 1073741825)),
earlier AS MATERIALIZED ( -- than the time asked for
    SELECT e.hash
    FROM (SELECT DISTINCT item
          FROM (SELECT unnest(items) AS item FROM inv_message
                WHERE NOT outbound AND seen_at < $1
                  AND item_max >= (SELECT min(id) FROM entry) AND item_min <= (SELECT max(id) FROM entry))) m
         JOIN entry e ON e.id = m.item
    UNION
    SELECT f.hash FROM first f JOIN tx t ON t.txid = f.hash WHERE NOT t.outbound AND t.seen_at < $1)
SELECT encode(f.hash, 'hex') AS hash, f.seen_at AS first_seen, s.name AS sensor, f.network, f.peer_address, f.peer_port, f.peer_name,
       f.place, f.country, f.asn, f.organisation, f.conn
FROM first f
     JOIN capture c ON c.id = f.capture
     JOIN sensor s ON s.id = c.sensor
WHERE f.hash NOT IN (SELECT hash FROM earlier)
ORDER BY CASE WHEN $7::boolean THEN f.seen_at END, f.seen_at DESC, f.hash
LIMIT $5::bigint OFFSET $8::bigint
