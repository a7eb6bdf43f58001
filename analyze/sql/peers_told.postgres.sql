-- The beginning of peers: for the time from $1 to $2, the connections to peers (watched), what was announced on them and to them (entry),
-- which of that is transactions (known), tx messages (sent), and who told of each transaction that nobody had told of before $1 (told). A
-- peer's key is its address, or the name that a proxy was asked for, or with $3 each connection's id. Times are microseconds since
-- 1970. This text is for Postgres.
WITH watched AS MATERIALIZED (
    SELECT k.id, c.sensor, CASE WHEN $3::boolean THEN k.id::text ELSE coalesce(regexp_replace(k.peer_name, ':[0-9]+$', ''), k.peer_address) END AS key,
           greatest(k.opened_at, $1) AS from_at, least(coalesce(k.closed_at, $2), $2) AS to_at
    FROM connection k JOIN capture c ON c.id = k.capture
    WHERE k.opened_at < $2 AND (k.closed_at >= $1 OR k.closed_at IS NULL) AND (k.network IS NOT NULL OR k.transport = 'v2')),
chunk AS NOT MATERIALIZED (
    SELECT * FROM inv_chunk c
    WHERE c.minute > $1::timestamptz - interval '1 minute' AND c.minute < $2
      AND c.minute + c.seen_max * interval '1 microsecond' >= $1 AND c.minute + c.seen_min * interval '1 microsecond' < $2),
entry AS MATERIALIZED ( -- as in the view inv, but each chunk is unpacked once
    SELECT d.conn[e.m] AS conn, d.items[e.i] AS item, d.outbound[e.m] AS outbound, d.minute_us + d.seen[e.m] AS us, 1 AS n
    FROM chunk c
         CROSS JOIN LATERAL (
             SELECT (extract(epoch FROM c.minute) * 1000000)::bigint AS minute_us,
                    (extract(epoch FROM $1::timestamptz - c.minute) * 1000000)::bigint AS since, -- after minute, as seen is
                    (extract(epoch FROM $2::timestamptz - c.minute) * 1000000)::bigint AS until,
                    c.conn || '{}'::bigint[] AS conn, c.outbound || '{}'::boolean[] AS outbound, c.seen || '{}'::int[] AS seen,
                    c.items || '{}'::bigint[] AS items, c.start::float8[] AS start, ('{0}'::smallint[] || c.till)::float8[] AS till,
                    c.entry || '{}'::smallint[] AS entry,
                    '{}'::json AS once -- keeps the planner from remembering results by their arrays
             OFFSET 0) d
         CROSS JOIN LATERAL (
             SELECT width_bucket(d.entry[o]::float8, d.start) AS m, width_bucket((o - 1)::float8, d.till) AS i
             FROM generate_series(1, cardinality(d.entry)) AS o -- which the planner takes for many
             WHERE d.once IS NOT NULL OFFSET 0) e
    WHERE d.seen[e.m] >= d.since AND d.seen[e.m] < d.until),
known AS MATERIALIZED ( -- also what these chunks hold of the time before and after
    SELECT i.id, coalesce((SELECT t.txid FROM tx t WHERE t.wtxid = i.hash LIMIT 1), i.hash) AS hash
    FROM (SELECT DISTINCT unnest(items) AS item FROM chunk) e JOIN item i ON i.id = e.item
    WHERE i.type IN (1, 5, 1073741825)
      AND i.day >= ($1::timestamptz AT TIME ZONE 'UTC')::date AND i.day <= ($2::timestamptz AT TIME ZONE 'UTC')::date),
sent AS MATERIALIZED (
    SELECT conn, (extract(epoch FROM seen_at) * 1000000)::bigint AS us, txid, outbound FROM tx WHERE seen_at >= $1 AND seen_at < $2),
fresh AS MATERIALIZED ( -- scalar subqueries, so that each is looked up through an index
    SELECT row_number() OVER () AS number, hash
    FROM (SELECT hash FROM known UNION SELECT txid FROM sent WHERE NOT outbound) h
    WHERE coalesce((SELECT min(i.first_seen) FROM item i WHERE i.hash = h.hash AND i.type IN (1, 5, 1073741825)) >= $1, true)
      AND coalesce((SELECT min(i.first_seen) FROM tx t JOIN item i ON i.hash = t.wtxid
                    WHERE t.txid = h.hash AND i.type IN (1, 5, 1073741825)) >= $1, true)
      AND coalesce((SELECT min(t.seen_at) FROM tx t WHERE t.txid = h.hash AND NOT t.outbound) >= $1, true)),
numbered AS MATERIALIZED (
    SELECT i.id, f.number FROM known i JOIN fresh f ON f.hash = i.hash),
told AS (
    SELECT f.number, e.conn, e.us FROM entry e JOIN numbered f ON f.id = e.item WHERE NOT e.outbound
    UNION ALL
    SELECT f.number, s.conn, s.us FROM sent s JOIN fresh f ON f.hash = s.txid WHERE NOT s.outbound)
