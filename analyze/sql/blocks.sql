-- Behind blocks_told: who told the node of blocks, from $1 to $2: for each block and connection the first announcement by each way (inv, headers, cmpctblock, block),
-- in order of time. A headers message of more than 8 blocks is no announcement but an answer to a node that catches up (Bitcoin Core,
-- net_processing.cpp, MAX_BLOCKS_TO_ANNOUNCE). $3 is a block's hash in hex digits, or '' for the $4 blocks that were seen last.
, sighted AS (
    SELECT hash, conn, via, min(seen_at) AS seen_at FROM told GROUP BY hash, conn, via)
SELECT encode(s.hash, 'hex') AS hash, n.name AS sensor, s.conn, s.seen_at, s.via, k.peer_address, k.peer_port, k.peer_name, k.network,
       coalesce(k.user_agent, (SELECT v.user_agent FROM version v -- it is not in the row of a connection that is still open
                               WHERE k.closed_at IS NULL AND v.conn = k.id AND NOT v.outbound
                                 AND v.seen_at >= k.opened_at AND v.seen_at < k.opened_at + interval '10 minutes'
                               LIMIT 1)) AS user_agent, p.place
FROM sighted s
     JOIN connection k ON k.id = s.conn
     JOIN capture c ON c.id = k.capture
     JOIN sensor n ON n.id = c.sensor
     LEFT JOIN peer_place p ON p.conn = s.conn
ORDER BY s.hash, n.name, s.seen_at, s.conn, s.via
