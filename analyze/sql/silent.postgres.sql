-- The sensors whose observed node only listened between $1 and $2: it announced nothing in the minutes that these are in, though
-- pings or pongs of its own were captured within half an hour of them. What it sends to encrypted peers nobody knows.
-- This text is for Postgres; the other database's differs in where announcements are.
SELECT n.name AS sensor
FROM sensor n
WHERE EXISTS (
          SELECT 1 FROM capture c
          WHERE c.sensor = n.id
            AND (EXISTS (SELECT 1 FROM ping p WHERE p.capture = c.id AND p.outbound AND p.seen_at BETWEEN $1::timestamptz - interval '30 minutes' AND $2::timestamptz + interval '30 minutes')
                 OR EXISTS (SELECT 1 FROM pong p WHERE p.capture = c.id AND p.outbound AND p.seen_at BETWEEN $1::timestamptz - interval '30 minutes' AND $2::timestamptz + interval '30 minutes')))
  AND NOT EXISTS (
          SELECT 1 FROM capture c JOIN inv_chunk i ON i.capture = c.id
          WHERE c.sensor = n.id AND i.minute BETWEEN date_trunc('minute', $1::timestamptz) AND $2 AND true = ANY (i.outbound))
ORDER BY n.name
