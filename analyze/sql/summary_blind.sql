-- Times in which a capture could not see, as far as they touch the range from $1 to $2, the longest first.
SELECT s.name AS sensor, c.name AS capture, b.from_at, b.to_at, b.reason, b.packets
FROM blind b
     JOIN capture c ON c.id = b.capture
     JOIN sensor s ON s.id = b.sensor
WHERE b.from_at < $2 AND b.to_at >= $1
ORDER BY b.to_at - b.from_at DESC, b.from_at, b.capture, b.reason
LIMIT 500
