-- For the stretch of time before $2 and not before $1 that has about $3 received announcements: when it begins, and how many there are
-- from $1 on. This text is for DuckDB.
SELECT min(seen_at) FILTER (WHERE coalesce(later, 0) < $3::bigint), coalesce(sum(n), 0)::bigint
FROM (SELECT seen_at, len(items) AS n, sum(len(items)) OVER (ORDER BY seen_at DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS later
      FROM inv_message WHERE NOT outbound AND seen_at >= $1 AND seen_at < $2) m
