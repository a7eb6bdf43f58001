-- How many crossings there were from each place to each other, and the most that can have crossed; this is the end of
-- crossings.*.sql. Amounts may count twice, where
-- several chains have a spend in common. There is one row without places where no crossing was found.
SELECT b.pairs, b.located, b.crossings, b.capped, c.from_place, c.to_place, c.number, c.value
FROM basis b
     LEFT JOIN (SELECT from_place, to_place, count(*) AS number, least(sum(value), 9223372036854775807)::bigint AS value
                FROM crossing
                GROUP BY from_place, to_place) c ON true
ORDER BY c.from_place, c.to_place;
