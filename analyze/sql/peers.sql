-- Behind peers_told: for each sensor and peer how much it announced, how often it was first and how far behind the first it was, what it
-- asked for, and its round-trip times from $4 to $2. Of two peers in the same microsecond the one with the lesser key is first.
, sighted AS (
    SELECT t.number, w.sensor, w.key, min(t.us) AS us FROM told t JOIN watched w ON w.id = t.conn GROUP BY t.number, w.sensor, w.key),
placed AS (
    SELECT sensor, key, us - min(us) OVER (PARTITION BY number, sensor) AS behind,
           row_number() OVER (PARTITION BY number, sensor ORDER BY us, key) AS place
    FROM sighted),
delay AS (
    SELECT sensor, key, count(*) AS transactions, count(*) FILTER (WHERE place = 1) AS firsts, avg(behind)::double precision AS mean_us,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY behind) AS median_us
    FROM placed GROUP BY sensor, key),
announced AS (
    SELECT w.sensor, w.key, coalesce(sum(e.n) FILTER (WHERE NOT e.outbound), 0)::bigint AS received,
           coalesce(sum(e.n) FILTER (WHERE e.outbound), 0)::bigint AS offered
    FROM entry e JOIN known i ON i.id = e.item JOIN watched w ON w.id = e.conn GROUP BY w.sensor, w.key),
asked AS (
    SELECT w.sensor, w.key, count(*) AS n FROM sent s JOIN watched w ON w.id = s.conn WHERE s.outbound GROUP BY w.sensor, w.key),
rtt AS (
    SELECT w.sensor, w.key, count(*) AS n, avg(p.rtt_us)::double precision AS mean_us,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY p.rtt_us) AS median_us, var_samp(p.rtt_us)::double precision AS variance
    FROM pong p JOIN watched w ON w.id = p.conn
    WHERE NOT p.outbound AND p.rtt_us >= 0 AND p.seen_at >= $4 AND p.seen_at < $2
    GROUP BY w.sensor, w.key),
peer AS (
    SELECT sensor, key, count(*) AS connections, max(id) AS conn, (extract(epoch FROM max(to_at) - min(from_at)))::double precision AS watched_s
    FROM watched GROUP BY sensor, key)
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
     LEFT JOIN announced a ON a.sensor = r.sensor AND a.key = r.key
     LEFT JOIN asked q ON q.sensor = r.sensor AND q.key = r.key
     LEFT JOIN delay d ON d.sensor = r.sensor AND d.key = r.key
     LEFT JOIN rtt t ON t.sensor = r.sensor AND t.key = r.key
ORDER BY coalesce(d.firsts, 0) DESC, coalesce(a.received, 0) DESC, s.name, r.key
