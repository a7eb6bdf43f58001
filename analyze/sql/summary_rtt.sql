-- The least round-trip time from ping to pong on each connection, from $1 to $2, in microseconds: what is left of it when neither
-- side nor the way between was busy.
SELECT min(rtt_us) AS least_us
FROM pong
WHERE NOT outbound AND rtt_us >= 0 AND seen_at >= $1 AND seen_at < $2
GROUP BY conn
ORDER BY 1
