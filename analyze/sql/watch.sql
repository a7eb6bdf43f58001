-- What each sensor could see at the moment $1 of the network $2: its connections to peers then, those of them that are encrypted
-- (BIP 324) and were not read, and since when it had been recording. A connection without an end belongs to a run that goes on, unless a
-- later run has taken that one's place.
SELECT n.name AS sensor,
       count(*) FILTER (WHERE k.network = $2) AS watched,
       count(*) FILTER (WHERE k.network IS NULL AND k.transport = 'v2') AS unreadable,
       min(c.first_at) AS since
FROM sensor n
     JOIN capture c ON c.sensor = n.id AND c.first_at <= $1
     JOIN connection k ON k.capture = c.id AND k.opened_at <= $1
          AND (k.closed_at >= $1 OR k.closed_at IS NULL AND NOT EXISTS (
               SELECT 1 FROM capture l
               WHERE l.sensor = c.sensor AND l.name = c.name AND l.first_at > c.first_at AND l.first_at <= $1))
GROUP BY n.name
ORDER BY n.name
