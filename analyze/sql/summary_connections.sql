-- The connections of one peer, given by its address, or by the name that a proxy was asked for, without the port: the newest first.
SELECT k.id, s.name AS sensor, k.peer_address, k.peer_port, k.peer_name, k.network, k.opener_known,
       CASE WHEN k.local_a THEN true WHEN k.local_b THEN false ELSE NULL END AS node_opened,
       k.opened_at, k.closed_at, k.transport, k.user_agent, k.handshake_rtt_us,
       (SELECT min(p.rtt_us) FROM pong p
        WHERE p.conn = k.id AND NOT p.outbound AND p.rtt_us >= 0 AND p.seen_at >= k.opened_at
          AND p.seen_at <= coalesce(k.closed_at, k.opened_at + INTERVAL '1 day')) AS ping_rtt_us,
       k.a_bytes + k.b_bytes AS bytes, k.a_messages + k.b_messages AS messages, k.a_lost + k.b_lost AS lost,
       l.place, l.city, l.asn, l.organisation
FROM connection k
     JOIN capture c ON c.id = k.capture
     JOIN sensor s ON s.id = c.sensor
     LEFT JOIN peer_place l ON l.conn = k.id
WHERE k.peer_address = $1 AND k.peer_name IS NULL OR k.peer_name IS NOT NULL AND peer_host(k.peer_address, k.peer_name) = $1
ORDER BY k.opened_at DESC, k.id
LIMIT 101
