-- crossings_change: of the transactions $1 (txids in hex digits, commas between) that have two outputs which can be spent, the one that
-- seems to be change, and the one that seems to be the payment. It is a guess: four heuristics of BlockSci (Kalodner and others,
-- USENIX Security 2020; their names there) vote, and an output is called change if it has votes and the other has none.
--
--   address_reuse       it pays an address whose coins the transaction spends
--   address_type        it alone has the script type that all spent outputs have
--   optimal_change      it alone is worth less than each of the several spent outputs: else one of them would not be needed
--   power_of_ten_value  it is no multiple of 100,000 satoshi, and the other is: people pay round amounts
--
-- The first three need outputs that were captured themselves: without them they say nothing.
WITH asked AS (
    SELECT DISTINCT decode(h, 'hex') AS txid FROM unnest(string_to_array($1::text, ',')) AS u (h)),
output AS MATERIALIZED (
    SELECT DISTINCT o.txid, o.index, o.value, o.script_type, o.address
    FROM tx_output o JOIN asked a ON a.txid = o.txid
    WHERE o.script_type <> 'nulldata'),
two AS MATERIALIZED (
    SELECT txid FROM output GROUP BY txid HAVING count(*) = 2),
input AS MATERIALIZED (
    SELECT DISTINCT i.txid, i.prev_txid, i.prev_vout FROM tx_input i JOIN two t ON t.txid = i.txid),
made AS MATERIALIZED (
    SELECT DISTINCT o.txid, o.index, o.value, o.script_type, o.address
    FROM tx_output o JOIN (SELECT DISTINCT prev_txid FROM input) i ON i.prev_txid = o.txid),
spent AS MATERIALIZED (
    SELECT i.txid, m.value, m.script_type, m.address
    FROM input i LEFT JOIN made m ON m.txid = i.prev_txid AND m.index = i.prev_vout),
spends AS (
    SELECT txid, count(*) AS number, count(value) = count(*) AS captured, min(value) AS least,
           min(script_type) AS script_type, count(DISTINCT script_type) = 1 AS alike
    FROM spent
    GROUP BY txid),
vote AS (
    SELECT o.txid, o.index,
           EXISTS (SELECT 1 FROM spent s WHERE s.txid = o.txid AND s.address = o.address)                        AS address_reuse,
           s.captured AND s.alike AND o.script_type = s.script_type AND other.script_type <> s.script_type       AS address_type,
           s.captured AND s.number > 1 AND o.value < s.least AND other.value >= s.least                          AS optimal_change,
           o.value % 100000 <> 0 AND other.value % 100000 = 0                                                     AS power_of_ten_value
    FROM output o
         JOIN two t ON t.txid = o.txid
         JOIN output other ON other.txid = o.txid AND other.index <> o.index
         JOIN spends s ON s.txid = o.txid),
counted AS (
    SELECT txid, index,
           CASE WHEN address_reuse THEN ' address_reuse' ELSE '' END || CASE WHEN address_type THEN ' address_type' ELSE '' END ||
           CASE WHEN optimal_change THEN ' optimal_change' ELSE '' END ||
           CASE WHEN power_of_ten_value THEN ' power_of_ten_value' ELSE '' END AS votes
    FROM vote)
SELECT encode(c.txid, 'hex') AS txid, c.index AS change, o.index AS payment, substr(c.votes, 2) AS votes
FROM counted c JOIN counted o ON o.txid = c.txid AND o.index <> c.index
WHERE c.votes <> '' AND o.votes = ''
ORDER BY 1;
