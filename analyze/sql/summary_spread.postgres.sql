-- How announcements spread: for a sample of the transactions that were first announced from $1 to $2, by at least two connections,
-- when each connection told of them. The sample is the $3 hashes that are least, which is as good as one by lot, as hashes are, and the
-- same each time. Announcements by txid and by wtxid are looked at apart, and followed for ten minutes.
WITH sample AS MATERIALIZED (
    SELECT hash, first_seen, row_number() OVER (ORDER BY hash) AS number
    FROM (SELECT hash, min(first_seen) AS first_seen FROM item
          WHERE type IN (1, 5, 1073741825) AND first_seen >= $1 AND first_seen < $2
            AND day >= ($1::timestamptz AT TIME ZONE 'UTC')::date AND day <= ($2::timestamptz AT TIME ZONE 'UTC')::date
          GROUP BY hash
          HAVING count(second_seen) > 0 OR count(DISTINCT first_conn) > 1
          ORDER BY hash LIMIT $3) s)
SELECT s.number, a.seen_at
FROM sample s
     CROSS JOIN LATERAL (
         SELECT min(i.seen_at) AS seen_at FROM inv i
         WHERE i.hash = s.hash AND i.type IN (1, 5, 1073741825) AND NOT i.outbound
           AND i.seen_at >= s.first_seen AND i.seen_at < s.first_seen + interval '10 minutes'
         GROUP BY i.conn OFFSET 0) a
ORDER BY s.number
