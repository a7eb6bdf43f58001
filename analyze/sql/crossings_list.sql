-- The crossings, newest spending transaction first: those that cost most to look up are at most $9. There is one row without a
-- crossing where none was found, for what the answer rests on.
SELECT b.pairs, b.located, b.crossings, b.capped,
       encode(c.from_tx, 'hex') AS from_tx, c.from_place, encode(c.to_tx, 'hex') AS to_tx, c.to_place, c.hops, c.value, c.path
FROM basis b
     LEFT JOIN (SELECT x.*, s.seen_at
                FROM crossing x JOIN (SELECT txid, min(seen_at) AS seen_at FROM sighted GROUP BY txid) s ON s.txid = x.to_tx
                ORDER BY s.seen_at DESC, x.to_tx, x.from_tx
                LIMIT $9::bigint) c ON true
ORDER BY c.seen_at DESC, c.to_tx, c.from_tx;
