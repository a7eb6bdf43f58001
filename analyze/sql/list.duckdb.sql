-- Transactions in the order of their first sightings, for those from $1 to $2: the latest come first, or if $7 the earliest. $3 is who was
-- first, an address, an address and port or a name, and $4 where that is, as in peer_place.place; '' is anybody and anywhere. $5 is how
-- many transactions are wanted at most, behind $8 others. $6 is the least lead over the second, whichever sensor saw it, in microseconds;
-- 0 is any. This text is for DuckDB.
WITH wanted AS MATERIALIZED ( -- connections that may have been first
    SELECT k.id AS conn, k.capture, k.network, k.peer_address, k.peer_port, k.peer_name, p.place, p.country, p.asn, p.organisation
    FROM connection k LEFT JOIN peer_place p ON p.conn = k.id
    WHERE ($3::text = '' OR k.peer_address = $3 OR k.peer_name = $3 OR starts_with(k.peer_name, $3 || ':')
           OR $3 = CASE WHEN k.peer_address LIKE '%:%' THEN '[' || k.peer_address || ']' ELSE k.peer_address END || ':' || k.peer_port::text)
      AND ($4::text = '' OR p.place = $4)),
heard AS MATERIALIZED ( -- of what, in the time asked for, by its txid where that is known
    SELECT hash, row_number() OVER () AS number
    FROM (SELECT coalesce(t.txid, i.hash) AS hash
          FROM (SELECT DISTINCT item FROM inv_first WHERE first_seen >= $1 AND first_seen < $2 AND EXISTS (FROM wanted)) e
               JOIN item i ON i.id = e.item LEFT JOIN tx_hash t ON t.wtxid = i.hash
          WHERE i.type IN (1, 5, 1073741825)
          UNION
          SELECT txid FROM tx WHERE NOT outbound AND seen_at >= $1 AND seen_at < $2 AND EXISTS (FROM wanted))),
entry AS MATERIALIZED ( -- by whatever name
    SELECT DISTINCT i.id, n.number
    FROM (SELECT number, hash AS name FROM heard UNION SELECT h.number, t.wtxid FROM heard h JOIN tx t ON t.txid = h.hash) n
         JOIN item i ON i.hash = n.name
    WHERE i.type IN (1, 5, 1073741825)),
told AS ( -- at any time
    SELECT e.number, f.first_seen AS seen_at, f.first_conn AS conn FROM entry e JOIN inv_first f ON f.item = e.id
    UNION ALL
    SELECT e.number, f.second_seen, f.second_conn FROM entry e JOIN inv_first f ON f.item = e.id
    WHERE $6::bigint > 0 AND f.second_conn IS NOT NULL
    UNION ALL
    SELECT h.number, t.seen_at, t.conn FROM heard h JOIN tx t ON t.txid = h.hash WHERE NOT t.outbound),
first AS ( -- of several in the same microsecond, the connection with the least number
    SELECT number, min(seen_at, 2) AS seen, arg_min(conn, row(seen_at, conn)) AS conn
    FROM (SELECT number, conn, min(seen_at) AS seen_at FROM told GROUP BY number, conn)
    GROUP BY number
    HAVING min(seen_at) >= $1 AND min(seen_at) < $2)
SELECT encode(h.hash, 'hex') AS hash, f.seen[1] AS first_seen, s.name AS sensor, w.network, w.peer_address, w.peer_port, w.peer_name,
       w.place, w.country, w.asn, w.organisation, w.conn
FROM first f
     JOIN heard h ON h.number = f.number
     JOIN wanted w ON w.conn = f.conn
     JOIN capture c ON c.id = w.capture
     JOIN sensor s ON s.id = c.sensor
WHERE $6::bigint = 0 OR epoch_us(f.seen[2]) - epoch_us(f.seen[1]) >= $6::bigint
ORDER BY CASE WHEN $7::boolean THEN f.seen[1] END, f.seen[1] DESC, h.hash
LIMIT $5::bigint OFFSET $8::bigint
