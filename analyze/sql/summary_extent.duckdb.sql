-- When what was recorded begins and ends: the first packet of a capture, and the last thing that is known of any. While a live
-- capture runs, that is its newest announcement or connection. Null in an empty database.
SELECT (SELECT min(first_at) FROM capture) AS first_at,
       greatest((SELECT max(first_at) FROM capture),
                (SELECT max(last_at) FROM capture_file),
                (SELECT max(opened_at) FROM connection),
                (SELECT max(closed_at) FROM connection),
                (SELECT max(seen_at) FROM inv_message)) AS last_at,
       (SELECT coalesce(max(id), 0) FROM batch) AS state -- another number when records were stored meanwhile
