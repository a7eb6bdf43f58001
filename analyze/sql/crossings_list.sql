-- The crossings, those first whose last transaction was seen last, $9 at most; this is the end of crossings.*.sql. There is one row without
-- a crossing where none was found, for what the answer rests on.
SELECT b.pairs, b.located, b.crossings, b.capped,
       encode(c.from_tx, 'hex') AS from_tx, c.from_place, encode(c.to_tx, 'hex') AS to_tx, c.to_place, c.hops, c.value, c.path
FROM basis b
     LEFT JOIN (SELECT * FROM crossing ORDER BY seen_at DESC, to_tx, from_tx LIMIT $9::bigint) c ON true
ORDER BY c.seen_at DESC, c.to_tx, c.from_tx;
