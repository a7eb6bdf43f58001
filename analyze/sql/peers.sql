-- Behind peers_told: for each sensor and peer how much it announced, how often it was first and how far behind the first it was, what it
-- asked for, and its round-trip times from $4 to $2. Of two peers in the same microsecond the one with the lesser key is first.
, numbered_peer AS MATERIALIZED ( -- numbers are grouped faster than names
    SELECT id, sensor, dense_rank() OVER (ORDER BY sensor, key) AS peer FROM watched),
sighted AS (
    SELECT t.number, w.sensor, w.peer, min(t.us) AS us FROM told t JOIN numbered_peer w ON w.id = t.conn GROUP BY t.number, w.sensor, w.peer),
placed AS (
    SELECT peer, us - first_value(us) OVER first AS behind, row_number() OVER first AS place
    FROM sighted
    WINDOW first AS (PARTITION BY number, sensor ORDER BY us, peer)),
delay AS (
    SELECT peer, count(*) AS transactions, count(*) FILTER (WHERE place = 1) AS firsts, avg(behind)::double precision AS mean_us,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY behind) AS median_us
    FROM placed GROUP BY peer),
announced AS (
    SELECT w.peer, coalesce(sum(e.n) FILTER (WHERE NOT e.outbound), 0)::bigint AS received,
           coalesce(sum(e.n) FILTER (WHERE e.outbound), 0)::bigint AS offered
    FROM (SELECT e.conn, e.outbound, sum(e.n) AS n FROM entry e WHERE e.item IN (SELECT id FROM known) GROUP BY e.conn, e.outbound) e
         JOIN numbered_peer w ON w.id = e.conn
    GROUP BY w.peer),
asked AS (
    SELECT w.peer, count(*) AS n FROM sent s JOIN numbered_peer w ON w.id = s.conn WHERE s.outbound GROUP BY w.peer),
rtt AS (
    SELECT w.peer, count(*) AS n, avg(p.rtt_us)::double precision AS mean_us,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY p.rtt_us) AS median_us, var_samp(p.rtt_us)::double precision AS variance
    FROM pong p JOIN numbered_peer w ON w.id = p.conn
    WHERE NOT p.outbound AND p.rtt_us >= 0 AND p.seen_at >= $4 AND p.seen_at < $2
    GROUP BY w.peer),
peer AS (
    SELECT n.peer, w.sensor, w.key, count(*) AS connections, max(w.id) AS conn,
           (extract(epoch FROM max(w.to_at) - min(w.from_at)))::double precision AS watched_s
    FROM watched w JOIN numbered_peer n ON n.id = w.id GROUP BY n.peer, w.sensor, w.key)
SELECT s.name AS sensor, r.key, r.connections, r.watched_s, r.conn, k.peer_address, k.peer_port, k.peer_name, k.network, k.transport,
       coalesce(k.user_agent, (SELECT v.user_agent FROM version v -- it is not in the row of a connection that is still open
                               WHERE k.closed_at IS NULL AND v.conn = k.id AND NOT v.outbound
                                 AND v.seen_at >= k.opened_at AND v.seen_at < k.opened_at + interval '10 minutes'
                               LIMIT 1)) AS user_agent,
       k.opener_known AND k.a_address = k.peer_address AND k.a_port = k.peer_port AS peer_opened, p.place, p.country, p.asn, p.organisation,
       coalesce(a.received, 0) AS announced, coalesce(a.offered, 0) AS offered, coalesce(q.n, 0) AS asked,
       coalesce(d.transactions, 0) AS transactions, coalesce(d.firsts, 0) AS firsts, d.mean_us, d.median_us,
       coalesce(t.n, 0) AS pongs, t.mean_us AS rtt_mean_us, t.median_us AS rtt_median_us, t.variance AS rtt_variance
FROM peer r
     JOIN sensor s ON s.id = r.sensor
     JOIN connection k ON k.id = r.conn
     LEFT JOIN peer_place p ON p.conn = r.conn
     LEFT JOIN announced a ON a.peer = r.peer
     LEFT JOIN asked q ON q.peer = r.peer
     LEFT JOIN delay d ON d.peer = r.peer
     LEFT JOIN rtt t ON t.peer = r.peer
ORDER BY coalesce(d.firsts, 0) DESC, coalesce(a.received, 0) DESC, s.name, r.key
