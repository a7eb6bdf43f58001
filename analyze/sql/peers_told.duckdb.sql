-- The beginning of peers: for the time from $1 to $2, the connections to peers (watched), what was announced on them and to them (entry),
-- which of that is transactions (known), tx messages (sent), and who told of each transaction that nobody had told of before $1 (told). A
-- peer's key is its address, or the name that a proxy was asked for, or with $3 each connection's id. Times are microseconds since
-- 1970. This text is for DuckDB.
WITH watched AS MATERIALIZED (
    SELECT k.id, c.sensor, CASE WHEN $3::boolean THEN k.id::text ELSE coalesce(regexp_replace(k.peer_name, ':[0-9]+$', ''), k.peer_address) END AS key,
           greatest(k.opened_at, $1) AS from_at, least(coalesce(k.closed_at, $2), $2) AS to_at
    FROM connection k JOIN capture c ON c.id = k.capture
    WHERE k.opened_at < $2 AND (k.closed_at >= $1 OR k.closed_at IS NULL) AND (k.network IS NOT NULL OR k.transport = 'v2')),
entry AS MATERIALIZED (
    SELECT conn, item, outbound, min(epoch_us(seen_at)) AS us, count(*) AS n
    FROM (SELECT conn, unnest(items) AS item, outbound, seen_at FROM inv_message WHERE seen_at >= $1 AND seen_at < $2)
    GROUP BY conn, item, outbound),
known AS MATERIALIZED (
    SELECT i.id, coalesce(t.txid, i.hash) AS hash
    FROM (SELECT DISTINCT item FROM entry) e JOIN item i ON i.id = e.item LEFT JOIN tx_hash t ON t.wtxid = i.hash
    WHERE i.type IN (1, 5, 1073741825)),
sent AS MATERIALIZED (
    SELECT conn, epoch_us(seen_at) AS us, txid, outbound FROM tx WHERE seen_at >= $1 AND seen_at < $2),
heard AS MATERIALIZED (SELECT hash FROM known UNION SELECT txid FROM sent WHERE NOT outbound),
named AS MATERIALIZED ( -- the items of each by any name
    SELECT DISTINCT i.id, n.hash
    FROM (SELECT hash, hash AS name FROM heard UNION SELECT h.hash, t.wtxid FROM heard h JOIN tx t ON t.txid = h.hash) n
         JOIN item i ON i.hash = n.name
    WHERE i.type IN (1, 5, 1073741825)),
earlier AS MATERIALIZED (
    SELECT n.hash FROM inv_first f JOIN named n ON n.id = f.item WHERE f.first_seen < $1
    UNION
    SELECT h.hash FROM heard h JOIN tx t ON t.txid = h.hash WHERE NOT t.outbound AND t.seen_at < $1),
fresh AS MATERIALIZED (
    SELECT row_number() OVER () AS number, hash FROM heard WHERE hash NOT IN (SELECT hash FROM earlier)),
told AS (
    SELECT f.number, e.conn, e.us FROM entry e JOIN known i ON i.id = e.item JOIN fresh f ON f.hash = i.hash WHERE NOT e.outbound
    UNION ALL
    SELECT f.number, s.conn, s.us FROM sent s JOIN fresh f ON f.hash = s.txid WHERE NOT s.outbound)
