-- The beginning of sightings and of leads: told has every announcement of the transactions $1 (hashes in hex digits, txid or wtxid, commas
-- between) to the node, and every tx message. Announcements by txid and by wtxid are put together where a tx message told that they are of
-- one transaction; key is the txid then, else what was asked for. This text is for Postgres.
WITH asked AS MATERIALIZED (
    SELECT DISTINCT decode(h, 'hex') AS hash FROM unnest(string_to_array($1::text, ',')) AS u (h)),
keyed AS MATERIALIZED (
    SELECT DISTINCT coalesce((SELECT t.txid FROM tx t WHERE t.wtxid = a.hash LIMIT 1), a.hash) AS key FROM asked a),
named AS MATERIALIZED ( -- the hashes by which peers may have announced it
    SELECT key, key AS hash FROM keyed
    UNION SELECT k.key, t.wtxid FROM keyed k JOIN tx t ON t.txid = k.key),
announced AS MATERIALIZED ( -- an array: only so the view finds what it needs through an index
    SELECT i.hash, i.conn, i.seen_at, i.type FROM inv i
    WHERE i.hash = ANY (ARRAY(SELECT hash FROM named)) AND i.type IN (1, 5, 1073741825) AND NOT i.outbound),
told AS (
    SELECT n.key, i.conn, i.seen_at, 'inv' AS via, i.type FROM named n JOIN announced i ON i.hash = n.hash
    UNION ALL
    SELECT k.key, t.conn, t.seen_at, 'tx', NULL FROM keyed k JOIN tx t ON t.txid = k.key WHERE NOT t.outbound)
