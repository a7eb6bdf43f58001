-- Captures, the newest first, with what their files say and with their ledgers.
SELECT s.name AS sensor, c.name, c.first_at, f.last_at, c.complete, coalesce(f.files, 0) AS files,
       coalesce(f.problems, 0) AS problems, CAST(c.ledger AS text) AS ledger
FROM capture c
     JOIN sensor s ON s.id = c.sensor
     LEFT JOIN (SELECT capture, max(last_at) AS last_at, count(*) AS files, count(problem) AS problems
                FROM capture_file GROUP BY capture) f ON f.capture = c.id
ORDER BY c.first_at DESC, c.id DESC
LIMIT 10000
