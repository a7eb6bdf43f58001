-- The wtxids of the transaction with txid $1 (hex digits), as far as tx messages told them.
SELECT DISTINCT encode(wtxid, 'hex') AS wtxid FROM tx WHERE txid = decode($1, 'hex') ORDER BY 1
