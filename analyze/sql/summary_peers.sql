-- Connections that were open at some moment from $1 to $2, by transport and by where the peer is. Bytes are TCP payload of both
-- directions, and those of all the connection's life; of a connection that is still open they aren't known, nor is its transport.
WITH open AS (
    SELECT k.id, k.transport, coalesce(k.a_bytes, 0) + coalesce(k.b_bytes, 0) AS bytes, k.closed_at
    FROM connection k
    WHERE k.opened_at < $2 AND (k.closed_at IS NULL OR k.closed_at >= $1))
SELECT 'transport' AS what, coalesce(transport, 'still open') AS name, count(*) AS connections, CAST(sum(bytes) AS bigint) AS bytes
FROM open GROUP BY 2
UNION ALL
SELECT 'country', coalesce(p.place, ''), count(*), CAST(sum(o.bytes) AS bigint)
FROM open o LEFT JOIN peer_place p ON p.conn = o.id GROUP BY 2
ORDER BY 1, 3 DESC, 2
