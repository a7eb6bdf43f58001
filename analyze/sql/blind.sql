-- The times between $1 and $2 in which a sensor could not see, or not everything.
SELECT n.name AS sensor, greatest(b.from_at, $1) AS from_at, least(b.to_at, $2) AS to_at, b.reason
FROM blind b JOIN sensor n ON n.id = b.sensor
WHERE b.from_at < $2 AND b.to_at > $1
ORDER BY n.name, 2, 3, b.reason
