-- crossings_spends: every captured spend of an output of the transactions $1 (txids in hex digits, commas between), at most $2, in order. Of
-- several transactions that spend the same output at most one can be confirmed.
WITH asked AS (
    SELECT DISTINCT decode(h, 'hex') AS txid FROM unnest(string_to_array($1::text, ',')) AS u (h)),
output AS MATERIALIZED (
    SELECT DISTINCT o.txid, o.index, o.value, o.address FROM tx_output o JOIN asked a ON a.txid = o.txid)
SELECT encode(o.txid, 'hex') AS txid, o.index, o.value, o.address, encode(i.txid, 'hex') AS spent_by
FROM output o
     JOIN (SELECT DISTINCT i.txid, i.prev_txid, i.prev_vout FROM tx_input i JOIN asked a ON a.txid = i.prev_txid) i
     ON i.prev_txid = o.txid AND i.prev_vout = o.index
ORDER BY o.txid, o.index, i.txid
LIMIT $2::bigint;
