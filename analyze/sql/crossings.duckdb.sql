-- crossings: spends of captured outputs by captured transactions, in chains of at most $6, whose two ends were first seen from different
-- places. This is the first part of two questions; crossings_list.sql and crossings_matrix.sql each are a second. Both are mempool
-- sightings: nothing in here says that a transaction was ever confirmed, or that its origin is where it was first seen from.
-- This text is for DuckDB; the other database's differs in how first is found alone.
--
--   $1, $2  the spending transaction at the end was captured (its tx message) from $1 up to $2, both timestamptz
--   $3, $4  place where the first and the last transaction were first seen: a country as two letters, or tor, i2p, cjdns, private;
--           '': any country
--   $5      least amount, in satoshi
--   $6      spends from the first transaction to the last, at most
--   $7      chains that are followed further from each number of spends, at most: what a hostile peer makes up may have more
--   $8      whether '' means any known place, and not just any country
WITH RECURSIVE
-- The transactions captured in the time asked for, and what they may descend from.
last AS MATERIALIZED (
    SELECT DISTINCT txid FROM tx_input WHERE seen_at >= $1::timestamptz AND seen_at < $2::timestamptz),
kin AS (
    SELECT txid, 1 AS hops FROM last
    UNION
    SELECT i.prev_txid, k.hops + 1 FROM kin k JOIN tx_input i ON i.txid = k.txid WHERE k.hops < $6::integer),
-- One row for each two transactions of which one spends outputs of the other: the sum of these outputs. A transaction may have
-- been captured several times.
input AS MATERIALIZED (
    SELECT DISTINCT i.txid, i.prev_txid, i.prev_vout
    FROM tx_input i JOIN (SELECT DISTINCT txid FROM kin) k ON k.txid = i.txid),
output AS MATERIALIZED (
    SELECT DISTINCT o.txid, o.index, o.value
    FROM tx_output o JOIN (SELECT DISTINCT prev_txid FROM input) i ON i.prev_txid = o.txid),
spend AS MATERIALIZED (
    SELECT i.txid, i.prev_txid, least(sum(o.value), 9223372036854775807)::bigint AS value
    FROM input i JOIN output o ON o.txid = i.prev_txid AND o.index = i.prev_vout
    GROUP BY i.txid, i.prev_txid),
-- Who was the first to tell the node of each of these transactions, by txid, by wtxid, or by sending it; and where that is.
known AS MATERIALIZED (
    SELECT DISTINCT t.txid, t.wtxid
    FROM tx t JOIN (SELECT txid FROM spend UNION SELECT prev_txid FROM spend) s ON s.txid = t.txid),
named AS MATERIALIZED (
    SELECT txid, wtxid AS hash FROM known UNION SELECT txid, txid FROM known),
entry AS MATERIALIZED (
    SELECT i.id AS item, n.txid FROM named n JOIN item i ON i.hash = n.hash WHERE i.type IN (1, 5, 1073741825)),
announced AS ( -- of several in the same microsecond, the connection with the least number
    SELECT e.txid, min(f.first_seen) AS seen_at, arg_min(f.first_conn, row(f.first_seen, f.first_conn)) AS conn
    FROM entry e JOIN inv_first f ON f.item = e.item
    GROUP BY e.txid),
first AS MATERIALIZED (
    SELECT txid, min(seen_at) AS seen_at, arg_min(conn, row(seen_at, conn)) AS conn
    FROM (SELECT txid, seen_at, conn FROM announced
          UNION ALL
          SELECT t.txid, t.seen_at, t.conn FROM tx t JOIN known k ON k.txid = t.txid AND k.wtxid = t.wtxid WHERE NOT t.outbound) s
    GROUP BY txid),
origin AS MATERIALIZED (
    SELECT f.txid, f.seen_at, p.place FROM first f JOIN peer_place p ON p.conn = f.conn WHERE p.place IS NOT NULL),
-- Back from each transaction to those that its coins may have come from, and how many coins at most. Two chains with the same ends
-- and length count once.
chain AS (
    SELECT txid AS to_tx, prev_txid AS from_tx, 1 AS hops, value,
           encode(prev_txid, 'hex') || ' ' || encode(txid, 'hex') AS path
    FROM spend WHERE txid IN (SELECT txid FROM last)
    UNION ALL
    SELECT to_tx, from_tx, hops, value, path
    FROM (SELECT to_tx, from_tx, hops, value, path
          FROM (SELECT c.to_tx, s.prev_txid AS from_tx, c.hops + 1 AS hops, least(c.value, s.value) AS value,
                       encode(s.prev_txid, 'hex') || ' ' || c.path AS path,
                       row_number() OVER (PARTITION BY c.to_tx, s.prev_txid
                                          ORDER BY least(c.value, s.value) DESC, c.path) AS rank
                FROM chain c JOIN spend s ON s.txid = c.from_tx
                WHERE c.hops < $6::integer) r
          WHERE rank < 2
          ORDER BY to_tx, from_tx
          LIMIT $7::bigint) l),
-- The shortest chain between two transactions.
pair AS MATERIALIZED (
    SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY to_tx, from_tx ORDER BY hops) AS rank FROM chain) c WHERE rank < 2),
located AS MATERIALIZED (
    SELECT c.from_tx, f.place AS from_place, c.to_tx, t.place AS to_place, t.seen_at, c.hops, c.value, c.path
    FROM pair c JOIN origin f ON f.txid = c.from_tx JOIN origin t ON t.txid = c.to_tx),
crossing AS MATERIALIZED (
    SELECT *
    FROM located
    WHERE from_place <> to_place AND value >= $5::bigint
      AND CASE WHEN $3::text = '' THEN $8::boolean OR length(from_place) = 2 ELSE from_place = $3::text END
      AND CASE WHEN $4::text = '' THEN $8::boolean OR length(to_place) = 2 ELSE to_place = $4::text END),
-- What the answer rests on.
basis AS (
    SELECT (SELECT count(*) FROM pair)     AS pairs,   -- ends of chains
           (SELECT count(*) FROM located)  AS located, -- of them, both places known
           (SELECT count(*) FROM crossing) AS crossings,
           EXISTS (SELECT 1 FROM chain WHERE hops > 1 GROUP BY hops HAVING count(*) >= $7::bigint) AS capped)
