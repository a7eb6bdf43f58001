-- Who told the node of the transactions $1 (hashes in hex digits, txid or wtxid, commas between): each connection with its first
-- announcement or tx message, in order of time. Announcements by txid and by wtxid are put together where a tx message told that
-- they are of one transaction; hash is the txid then, else what was asked for. This text is for DuckDB.
WITH asked AS MATERIALIZED (
    SELECT DISTINCT decode(h, 'hex') AS hash FROM unnest(string_to_array($1::text, ',')) AS u (h)),
keyed AS MATERIALIZED (
    SELECT coalesce((SELECT t.txid FROM tx t WHERE t.wtxid = a.hash LIMIT 1), a.hash) AS key FROM asked a),
named AS MATERIALIZED ( -- the hashes by which peers may have announced it
    SELECT key, key AS hash FROM keyed
    UNION SELECT k.key, t.wtxid FROM keyed k JOIN tx t ON t.txid = k.key),
entry AS MATERIALIZED (
    SELECT i.id, i.type, n.key FROM item i JOIN named n ON n.hash = i.hash WHERE i.type IN (1, 5, 1073741825)),
announced AS MATERIALIZED ( -- of the messages with such an entry
    SELECT m.conn, m.seen_at, unnest(m.items) AS item
    FROM inv_message m, (SELECT list(id) AS ids FROM entry) e
    WHERE NOT m.outbound AND list_has_any(m.items, e.ids)),
told AS (
    SELECT e.key, a.conn, a.seen_at, 'inv' AS via, e.type FROM announced a JOIN entry e ON e.id = a.item
    UNION ALL
    SELECT k.key, t.conn, t.seen_at, 'tx', NULL FROM keyed k JOIN tx t ON t.txid = k.key WHERE NOT t.outbound),
sighted AS (
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
