-- Transactions that were first seen from $1 to $2: how many in each step of $3 microseconds, and from whom. One that was announced in
-- the hour before $1 already is none of them; older sightings are not looked at. As in the view first_seen, announcements by
-- txid and by wtxid are of one transaction where a tx message told so.
WITH known AS MATERIALIZED (
    SELECT i.id AS item, coalesce(t.txid, i.hash) AS hash
    FROM item i LEFT JOIN tx_hash t ON t.wtxid = i.hash
    WHERE i.type IN (1, 5, 1073741825)),
announced AS ( -- of several in the same microsecond, the connection with the least number
    SELECT item, min(first_seen) AS seen_at, arg_min(first_conn, row(first_seen, first_conn)) AS conn
    FROM inv_first
    WHERE coalesce(second_seen, first_seen) >= $1::TIMESTAMPTZ - INTERVAL 1 HOUR AND first_seen < $2::TIMESTAMPTZ
    GROUP BY item),
sighted AS (
    SELECT n.hash, a.seen_at, a.conn FROM announced a JOIN known n ON n.item = a.item
    UNION ALL
    SELECT txid, seen_at, conn FROM tx
    WHERE NOT outbound AND seen_at >= $1::TIMESTAMPTZ - INTERVAL 1 HOUR AND seen_at < $2::TIMESTAMPTZ),
firsts AS MATERIALIZED (
    SELECT hash, min(seen_at) AS seen_at, arg_min(conn, row(seen_at, conn)) AS conn
    FROM sighted GROUP BY hash HAVING min(seen_at) >= $1::TIMESTAMPTZ),
by_conn AS MATERIALIZED (SELECT conn, count(*) AS n FROM firsts GROUP BY conn)
SELECT 'step' AS what, CAST((epoch_us(seen_at) - epoch_us($1::TIMESTAMPTZ)) // $3::BIGINT AS VARCHAR) AS name, NULL AS more,
       count(*) AS transactions
FROM firsts GROUP BY 2
UNION ALL
SELECT 'country', coalesce(p.place, ''), NULL, sum(f.n)::BIGINT
FROM by_conn f LEFT JOIN peer_place p ON p.conn = f.conn GROUP BY 2
UNION ALL
(SELECT 'as', CAST(p.asn AS VARCHAR), min(p.organisation), sum(f.n)::BIGINT
 FROM by_conn f JOIN peer_place p ON p.conn = f.conn WHERE p.asn IS NOT NULL
 GROUP BY 2 ORDER BY 4 DESC, 2 LIMIT 20)
UNION ALL
(SELECT 'peer', coalesce(k.peer_name, k.peer_address), min(p.place), sum(f.n)::BIGINT
 FROM by_conn f JOIN connection k ON k.id = f.conn LEFT JOIN peer_place p ON p.conn = f.conn
 GROUP BY 2 ORDER BY 4 DESC, 2 LIMIT 20)
ORDER BY 1, 4 DESC, 2
