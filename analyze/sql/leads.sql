-- Behind told: for each transaction and sensor the first two sightings on different connections, and how many connections had one.
, sighted AS (
    SELECT key, conn, min(seen_at) AS seen_at FROM told GROUP BY key, conn),
placed AS (
    SELECT s.key, c.sensor, s.seen_at, row_number() OVER (PARTITION BY s.key, c.sensor ORDER BY s.seen_at, s.conn) AS place
    FROM sighted s JOIN connection k ON k.id = s.conn JOIN capture c ON c.id = k.capture)
SELECT encode(p.key, 'hex') AS hash, n.name AS sensor, min(p.seen_at) AS first_seen,
       min(CASE WHEN p.place = 2 THEN p.seen_at END) AS second_seen, count(*) AS peers
FROM placed p JOIN sensor n ON n.id = p.sensor
GROUP BY p.key, n.name
ORDER BY p.key, n.name
