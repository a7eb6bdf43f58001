-- nodes: every node that was heard of, one row for each network, address and port: peers of the observed node, and addresses that peers told
-- of in addr and addrv2 messages. What a node says of itself (version message) goes before what others say.
--
--   $1, $2  of connections that were open, and addresses that were told, from $1 up to $2, both timestamptz
--   $3      network by name; '': all
--   $4      only peers of the node
--
-- A peer that opened the connection did so from a port at which it doesn't listen. Its own is unknown (null), unless others tell of
-- exactly one port at its address. Who opened a connection that was joined in its middle isn't known either: there, a port at which
-- Bitcoin listens by default is taken for the node's own. Connections that are not Bitcoin's, as far as was seen, are left out.
WITH peer AS (
    SELECT k.id AS conn, coalesce(k.network, '') AS network, peer_host(k.peer_address, k.peer_name) AS address,
           CASE WHEN k.peer_name IS NOT NULL
                THEN nullif(right(k.peer_name, strpos(reverse(k.peer_name), ':') - 1), '')::integer
                WHEN k.opener_known AND (k.a_address <> k.peer_address OR k.a_port <> k.peer_port) THEN k.peer_port
                -- Source: Bitcoin Core, kernel/chainparams.cpp, nDefaultPort.
                WHEN NOT k.opener_known AND k.peer_port IN (8333, 18333, 18444, 38333, 48333) THEN k.peer_port END AS port,
           k.opened_at, k.closed_at, k.user_agent
    FROM connection k
    WHERE k.opened_at < $2::timestamptz AND (k.closed_at IS NULL OR k.closed_at >= $1::timestamptz)
      AND (k.network IS NOT NULL OR k.transport = 'v2') AND ($3::text = '' OR k.network = $3::text)),
-- The services are those that were told last: the greatest of arrays that begin with the time, which needs no sorting. They have 64 bits and
-- no sign.
told AS MATERIALIZED (
    SELECT coalesce(k.network, '') AS network, a.address, a.port,
           max(CASE WHEN a.last_seen > a.seen_at THEN a.seen_at ELSE a.last_seen END) AS last_seen, -- nobody saw it in the future
           max(ARRAY[(extract(epoch FROM a.seen_at) * 1000000)::bigint, -a.conn, -a.pos, -a.index,
                     (a.services::numeric(20) - 9223372036854775808)::bigint]) AS latest
    FROM addr a JOIN connection k ON k.id = a.conn
    WHERE NOT a.outbound AND a.seen_at >= $1::timestamptz AND a.seen_at < $2::timestamptz
      AND ($3::text = '' OR k.network = $3::text)
    GROUP BY coalesce(k.network, ''), a.address, a.port),
heard AS MATERIALIZED (
    SELECT network, address, port, latest[5]::numeric(20) + 9223372036854775808 AS services, last_seen FROM told),
lone AS (
    SELECT network, address, min(port) AS port FROM heard GROUP BY network, address HAVING count(*) = 1),
said AS (
    SELECT conn, protocol, user_agent, services, start_height, seen_at
    FROM (SELECT v.*, row_number() OVER (PARTITION BY conn ORDER BY seen_at DESC, pos DESC) AS rank FROM version v WHERE NOT outbound) v
    WHERE rank = 1),
met AS MATERIALIZED (
    SELECT *
    FROM (SELECT p.network, p.address, coalesce(p.port, l.port) AS port, p.conn, s.protocol, coalesce(s.user_agent, p.user_agent) AS user_agent,
                 s.services, s.start_height, p.opened_at, max(coalesce(p.closed_at, p.opened_at)) OVER same AS last_seen,
                 count(*) OVER same AS connections,
                 row_number() OVER (PARTITION BY p.network, p.address, coalesce(p.port, l.port)
                                    ORDER BY s.protocol IS NULL, p.opened_at DESC, p.conn) AS rank
          FROM peer p
               LEFT JOIN said s ON s.conn = p.conn
               LEFT JOIN lone l ON p.port IS NULL AND l.network = p.network AND l.address = p.address
          WINDOW same AS (PARTITION BY p.network, p.address, coalesce(p.port, l.port))) m
    WHERE rank = 1)
SELECT n.network, n.address, n.port, n.protocol, n.user_agent, n.services, n.start_height, n.connected_since, n.last_seen, n.connections,
       coalesce(p.kind, '') AS kind, p.country, p.city, p.latitude, p.longitude, p.time_zone, p.asn, p.organisation
FROM (SELECT m.network, m.address, m.port, m.conn, m.protocol, m.user_agent, coalesce(m.services, h.services)::text AS services,
             m.start_height, m.opened_at AS connected_since,
             CASE WHEN h.last_seen > m.last_seen THEN h.last_seen ELSE m.last_seen END AS last_seen, m.connections
      FROM met m LEFT JOIN heard h ON h.network = m.network AND h.address = m.address AND h.port = m.port
      UNION ALL
      SELECT h.network, h.address, h.port, NULL, NULL, NULL, h.services::text, NULL, NULL, h.last_seen, 0
      FROM heard h
      WHERE NOT $4::boolean
        AND NOT EXISTS (SELECT 1 FROM met m WHERE m.network = h.network AND m.address = h.address AND m.port = h.port)) n
     LEFT JOIN peer_place p ON p.conn = n.conn
ORDER BY n.network, n.address, n.port;
