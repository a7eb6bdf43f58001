-- For the stretch of time before $2 and not before $1 that has about $3 received announcements: when it begins, and how many there are
-- from $1 on. This text is for Postgres, where a chunk of announcements is the least that is counted.
SELECT min(us) FILTER (WHERE coalesce(later, 0) < $3::bigint), coalesce(sum(received), 0)::bigint
FROM (SELECT minute + seen_min * interval '1 microsecond' AS us, received,
             sum(received) OVER (ORDER BY minute DESC, seen_max DESC, seen_min DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS later
      FROM inv_chunk WHERE minute > $1::timestamptz - interval '1 minute' AND minute < $2) c
