-- Announcements that peers sent from $1 to $2, in steps of $3 microseconds.
SELECT (epoch_us(seen_at) - epoch_us($1::TIMESTAMPTZ)) // $3::BIGINT AS step, sum(len(items))::BIGINT AS announcements
FROM inv_message
WHERE NOT outbound AND seen_at >= $1::TIMESTAMPTZ AND seen_at < $2::TIMESTAMPTZ
GROUP BY 1
ORDER BY 1
