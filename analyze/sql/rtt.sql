-- The round-trip times of each connection from $1 to $2, from pings that the node sent and pongs with the same nonce. The least tenth
-- is the network's: pongs come later than it allows for many reasons, but earlier for none but a clock that was set meanwhile.
SELECT conn, count(*) AS pongs,
       percentile_disc(0.1) WITHIN GROUP (ORDER BY rtt_us) AS least_us,
       percentile_disc(0.5) WITHIN GROUP (ORDER BY rtt_us) AS median_us
FROM pong
WHERE NOT outbound AND rtt_us > 0 AND seen_at >= $1 AND seen_at < $2
GROUP BY conn
ORDER BY conn
