-- Behind told: each connection with its first sighting of the transactions, in order of sensor and time, and what is known of the peer.
, sighted AS (
    SELECT key, conn, seen_at, via, type,
           row_number() OVER (PARTITION BY key, conn ORDER BY seen_at, via, type) AS place
    FROM told)
SELECT encode(s.key, 'hex') AS hash, s.conn, n.name AS sensor, s.seen_at, s.via, s.type,
       k.peer_address, k.peer_port, k.peer_name, k.network,
       k.opener_known AND k.a_address = k.peer_address AND k.a_port = k.peer_port AS peer_opened,
       coalesce(k.user_agent, (SELECT v.user_agent FROM version v -- it is not in the row of a connection that is still open
                               WHERE k.closed_at IS NULL AND v.conn = k.id AND NOT v.outbound
                                 AND v.seen_at >= k.opened_at AND v.seen_at < k.opened_at + interval '10 minutes'
                               LIMIT 1)) AS user_agent, k.transport,
       CASE WHEN k.peer_name IS NULL THEN k.handshake_rtt_us END AS handshake_rtt_us, -- through a proxy it is the proxy's
       p.place, p.country, p.city, p.asn, p.organisation
FROM sighted s
     JOIN connection k ON k.id = s.conn
     JOIN capture c ON c.id = k.capture
     JOIN sensor n ON n.id = c.sensor
     LEFT JOIN peer_place p ON p.conn = s.conn
WHERE s.place = 1
ORDER BY s.key, n.name, s.seen_at, s.conn
