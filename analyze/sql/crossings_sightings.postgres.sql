-- crossings_sightings: each connection's first sighting of the transactions $1 (txids in hex digits, commas between), in order of time. This
-- text is for Postgres.
WITH asked AS MATERIALIZED (
    SELECT DISTINCT decode(h, 'hex') AS txid FROM unnest(string_to_array($1::text, ',')) AS u (h)),
named AS MATERIALIZED (
    SELECT txid, txid AS hash FROM asked
    UNION SELECT t.txid, t.wtxid FROM tx t JOIN asked a ON a.txid = t.txid),
told AS MATERIALIZED ( -- an array: only so the view finds what it needs through an index
    SELECT hash, conn, seen_at FROM inv
    WHERE hash = ANY (ARRAY(SELECT hash FROM named)) AND type IN (1, 5, 1073741825) AND NOT outbound),
sighted AS (
    SELECT txid, conn, min(seen_at) AS seen_at, min(via) AS via
    FROM (SELECT n.txid, i.conn, i.seen_at, 'inv' AS via FROM named n JOIN told i ON i.hash = n.hash
          UNION ALL
          SELECT t.txid, t.conn, t.seen_at, 'tx' FROM tx t JOIN asked a ON a.txid = t.txid WHERE NOT t.outbound) s
    GROUP BY txid, conn)
SELECT encode(s.txid, 'hex') AS txid, s.conn, s.seen_at, s.via,
       coalesce(k.peer_name, CASE WHEN k.peer_address LIKE '%:%' THEN '[' || k.peer_address || ']' ELSE k.peer_address END
                             || ':' || k.peer_port::text) AS peer,
       CASE WHEN p.kind IN ('tor', 'i2p', 'cjdns', 'private') THEN p.kind ELSE p.country END AS place,
       k.network, k.opener_known AND k.a_address = k.peer_address AND k.a_port = k.peer_port AS peer_opened, k.handshake_rtt_us
FROM sighted s JOIN connection k ON k.id = s.conn LEFT JOIN peer_place p ON p.conn = s.conn
ORDER BY s.txid, s.seen_at, s.conn;
