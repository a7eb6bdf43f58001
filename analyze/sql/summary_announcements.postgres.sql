-- Announcements that peers sent from $1 to $2, in steps of $3 microseconds that are whole minutes: of each chunk this reads a
-- number that was counted when it was stored.
SELECT (extract(epoch FROM minute - $1::timestamptz) * 1000000)::bigint / $3::bigint AS step, sum(received)::bigint AS announcements
FROM inv_chunk
WHERE minute >= $1 AND minute < $2 AND received > 0
GROUP BY 1
ORDER BY 1
