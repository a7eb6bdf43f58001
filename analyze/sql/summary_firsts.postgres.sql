-- Transactions that were first seen from $1 to $2: how many in each step of $3 microseconds, and from whom. One that was announced in
-- the hour before $1 already is none of them; older sightings are not looked at. As in the view first_seen, announcements by
-- txid and by wtxid are of one transaction where a tx message told so.
WITH known AS MATERIALIZED (
    SELECT DISTINCT wtxid, txid FROM tx WHERE seen_at >= $1::timestamptz - interval '1 hour' AND seen_at < $2 AND wtxid <> txid),
sighted AS (
    SELECT coalesce(t.txid, i.hash) AS hash, i.first_seen AS seen_at, i.first_conn AS conn
    FROM item i LEFT JOIN known t ON t.wtxid = i.hash
    WHERE i.type IN (1, 5, 1073741825)
      AND i.first_seen >= $1::timestamptz - interval '1 hour' AND i.first_seen < $2
      AND i.day >= (($1::timestamptz - interval '1 hour') AT TIME ZONE 'UTC')::date
      AND i.day <= ($2::timestamptz AT TIME ZONE 'UTC')::date
    UNION ALL
    SELECT txid, seen_at, conn FROM tx
    WHERE NOT outbound AND seen_at >= $1::timestamptz - interval '1 hour' AND seen_at < $2),
-- A minimum of both at once: rows are compared by time, then by connection.
firsts AS MATERIALIZED (
    SELECT f.hash, f.seen_at, f.conn
    FROM (SELECT DISTINCT ON (hash) hash, seen_at, conn FROM sighted ORDER BY hash, seen_at, conn) f
    WHERE f.seen_at >= $1),
by_conn AS MATERIALIZED (SELECT conn, count(*) AS n FROM firsts GROUP BY conn)
SELECT 'step' AS what, ((extract(epoch FROM seen_at - $1::timestamptz) * 1000000)::bigint / $3::bigint)::text AS name, NULL AS more,
       count(*) AS transactions
FROM firsts GROUP BY 2
UNION ALL
SELECT 'country', coalesce(p.place, ''), NULL, sum(f.n)::bigint
FROM by_conn f LEFT JOIN peer_place p ON p.conn = f.conn GROUP BY 2
UNION ALL
(SELECT 'as', p.asn::text, min(p.organisation), sum(f.n)::bigint
 FROM by_conn f JOIN peer_place p ON p.conn = f.conn WHERE p.asn IS NOT NULL
 GROUP BY 2 ORDER BY 4 DESC, 2 LIMIT 20)
UNION ALL
(SELECT 'peer', coalesce(k.peer_name, k.peer_address), min(p.place), sum(f.n)::bigint
 FROM by_conn f JOIN connection k ON k.id = f.conn LEFT JOIN peer_place p ON p.conn = f.conn
 GROUP BY 2 ORDER BY 4 DESC, 2 LIMIT 20)
ORDER BY 1, 4 DESC, 2
