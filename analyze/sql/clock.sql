-- What each sensor's clock is compared with those of its peers from $1 to $2: the median of what peers claim in version messages, less the
-- time at which these were captured, in seconds, and how far the middle half of them is spread. A peer that connects again and again
-- counts once. Claims are whole seconds, cut off.
SELECT sensor, count(*) AS peers,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY ahead) AS ahead,
       percentile_cont(0.75) WITHIN GROUP (ORDER BY ahead) - percentile_cont(0.25) WITHIN GROUP (ORDER BY ahead) AS spread
FROM (SELECT n.name AS sensor, k.peer_address,
             max(extract(epoch FROM v.claimed_at)::double precision - extract(epoch FROM v.seen_at)::double precision) AS ahead
      FROM version v
           JOIN connection k ON k.id = v.conn
           JOIN capture c ON c.id = k.capture
           JOIN sensor n ON n.id = c.sensor
      WHERE NOT v.outbound AND v.claimed_at IS NOT NULL AND v.seen_at >= $1 AND v.seen_at < $2
      GROUP BY n.name, k.peer_address) p
GROUP BY sensor
ORDER BY sensor
