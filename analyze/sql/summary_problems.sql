-- Capture files that were not read to their end, and why.
SELECT c.name AS capture, f.name AS file, f.problem
FROM capture_file f JOIN capture c ON c.id = f.capture
WHERE f.problem IS NOT NULL
ORDER BY c.first_at DESC, c.id DESC, f.name
LIMIT 50
