-- crossings_window: of the tx messages captured from $1 up to $2 the $3 newest: when the first of them was captured, how many there are,
-- and how many there are in all of that time.
SELECT min(seen_at), count(*), coalesce(max(number), 0)
FROM (SELECT seen_at, count(*) OVER () AS number FROM tx
      WHERE seen_at >= $1::timestamptz AND seen_at < $2::timestamptz
      ORDER BY seen_at DESC LIMIT $3::bigint) t;
