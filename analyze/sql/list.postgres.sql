-- Transactions in the order of their first sightings, for those from $1 to $2: the latest come first, or if $7 the earliest. $3 is who was
-- first, an address, an address and port or a name, and $4 where that is, as in peer_place.place; '' is anybody and anywhere. $5 is how
-- many transactions are wanted at most, behind $8 others. $6 is the least lead over the second, in microseconds, over all sensors; 0 is any, also
-- that there is no second. This text is for Postgres.
WITH wanted AS MATERIALIZED ( -- connections that may have been first, if not all may
    SELECT k.id FROM connection k LEFT JOIN peer_place p ON p.conn = k.id
    WHERE ($3::text <> '' OR $4::text <> '') AND k.opened_at < $2 AND (k.closed_at >= $1 OR k.closed_at IS NULL)
      AND ($3 = '' OR k.peer_address = $3 OR k.peer_name = $3 OR starts_with(k.peer_name, $3 || ':')
           OR $3 = CASE WHEN k.peer_address LIKE '%:%' THEN '[' || k.peer_address || ']' ELSE k.peer_address END || ':' || k.peer_port::text)
      AND ($4 = '' OR p.place = $4)),
told AS MATERIALIZED ( -- the first sighting of each announced hash in the time, and all by tx messages
    SELECT hash, first_seen AS seen_at, first_conn AS conn
    FROM item
    WHERE type IN (1, 5, 1073741825) AND first_conn IS NOT NULL AND first_seen >= $1 AND first_seen < $2
      AND day >= ($1::timestamptz AT TIME ZONE 'UTC')::date AND day <= ($2::timestamptz AT TIME ZONE 'UTC')::date
      AND ($3 = '' AND $4 = '' OR first_conn IN (SELECT id FROM wanted))
      AND (second_seen IS NULL OR second_seen - first_seen >= $6::bigint * interval '1 microsecond')
    UNION ALL
    SELECT t.wtxid, t.seen_at, t.conn
    FROM tx t LEFT JOIN item i ON $6 > 0 AND i.hash = t.wtxid AND i.type IN (1, 5, 1073741825) AND i.first_seen < t.seen_at
                             AND i.first_seen >= $1::timestamptz - interval '1 hour' AND i.first_seen < $2
                             AND i.day >= (($1::timestamptz - interval '1 hour') AT TIME ZONE 'UTC')::date AND i.day <= ($2::timestamptz AT TIME ZONE 'UTC')::date
    WHERE i.hash IS NULL -- nearly all are announced shortly before they are sent: one join leaves these out, where each would be looked up below
      AND NOT t.outbound AND t.seen_at >= $1 AND t.seen_at < $2
      AND ($3 = '' AND $4 = '' OR t.conn IN (SELECT id FROM wanted))),
named AS ( -- by its txid, where that is known
    SELECT coalesce((SELECT t.txid FROM tx t WHERE t.wtxid = told.hash LIMIT 1), told.hash) AS hash, seen_at, conn
    FROM told),
first AS MATERIALIZED (
    SELECT DISTINCT ON (hash) hash, seen_at, conn FROM named ORDER BY hash, seen_at, conn)
SELECT encode(f.hash, 'hex') AS hash, f.seen_at AS first_seen, s.name AS sensor, k.network, k.peer_address, k.peer_port, k.peer_name,
       p.place, p.country, p.asn, p.organisation, f.conn
FROM (SELECT * FROM first ORDER BY CASE WHEN $7::boolean THEN seen_at END, seen_at DESC, hash OFFSET 0) f -- so that few are looked at
     JOIN connection k ON k.id = f.conn
     JOIN capture c ON c.id = k.capture
     JOIN sensor s ON s.id = c.sensor
     LEFT JOIN peer_place p ON p.conn = f.conn
-- No earlier sighting, by whatever name, and none too soon after it. Not as NOT EXISTS, so that each is looked up through an index.
WHERE coalesce((SELECT min(i.first_seen) FROM item i WHERE i.hash = f.hash AND i.type IN (1, 5, 1073741825)) >= f.seen_at, true)
  AND coalesce((SELECT min(i.first_seen) FROM tx t JOIN item i ON i.hash = t.wtxid
                WHERE t.txid = f.hash AND i.type IN (1, 5, 1073741825)) >= f.seen_at, true)
  AND coalesce((SELECT min(t.seen_at) FROM tx t WHERE t.txid = f.hash AND NOT t.outbound) >= f.seen_at, true)
  AND ($6 = 0 OR f.seen_at + $6 * interval '1 microsecond' <= least(
           (SELECT min(CASE WHEN i.first_conn <> f.conn THEN i.first_seen ELSE i.second_seen END) FROM item i
            WHERE i.hash = f.hash AND i.type IN (1, 5, 1073741825)),
           (SELECT min(CASE WHEN i.first_conn <> f.conn THEN i.first_seen ELSE i.second_seen END) FROM tx t JOIN item i ON i.hash = t.wtxid
            WHERE t.txid = f.hash AND i.type IN (1, 5, 1073741825)),
           (SELECT min(t.seen_at) FROM tx t WHERE t.txid = f.hash AND NOT t.outbound AND t.conn <> f.conn)))
ORDER BY CASE WHEN $7::boolean THEN f.seen_at END, f.seen_at DESC, f.hash
LIMIT $5::bigint OFFSET $8::bigint
