-- Announcements that peers sent from $1 to $2, in steps of $3 microseconds. This reads the messages of each chunk, so it is for short
-- times. A message is all its announcements up to where the next one starts.
SELECT step, sum(announcements)::bigint AS announcements
FROM (SELECT ((extract(epoch FROM c.minute - $1::timestamptz) * 1000000)::bigint + m.seen) / $3::bigint AS step, m.announcements
      FROM inv_chunk c
           CROSS JOIN LATERAL (
               SELECT u.seen, u.outbound,
                      coalesce(lead(u.start) OVER (ORDER BY u.n), cardinality(c.entry)) - u.start AS announcements
               FROM unnest(c.seen, c.outbound, c.start) WITH ORDINALITY AS u (seen, outbound, start, n)) m
      WHERE c.minute > $1::timestamptz - interval '1 minute' AND c.minute < $2 AND c.received > 0
        AND NOT m.outbound
        AND c.minute + m.seen * interval '1 microsecond' >= $1
        AND c.minute + m.seen * interval '1 microsecond' < $2) a
GROUP BY step
ORDER BY step
