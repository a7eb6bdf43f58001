-- Views for people. docs/schema.md has their columns and queries that give the same answer on every database.

-- inv: one row an announcement. A condition on hash or type finds its chunks through the index of items; one on seen_at alone
-- unpacks everything, so give one on minute (of seen_at) too.
CREATE VIEW inv AS
SELECT c.minute + d.seen[w.m] * interval '1 microsecond'                    AS seen_at,
       c.minute + (d.seen[w.m] - d.taken[w.m]) * interval '1 microsecond'   AS first_byte_at,
       c.capture,
       d.conn[w.m]                                                          AS conn,
       d.from_b[w.m]                                                        AS from_b,
       d.outbound[w.m]                                                      AS outbound,
       d.pos[w.m]                                                           AS pos,
       e.n + 32768 - d.start[w.m]                                           AS index,
       coalesce(d.start[w.m + 1], cardinality(d.entry)) - d.start[w.m]      AS count,
       i.type,
       i.hash,
       CASE WHEN d.from_b[w.m] = d.outbound[w.m] THEN k.a_address ELSE k.b_address END AS peer_address,
       CASE WHEN d.from_b[w.m] = d.outbound[w.m] THEN k.a_port ELSE k.b_port END       AS peer_port,
       k.peer_name,
       c.minute
FROM inv_chunk c
     -- [:] copies the arrays out of storage once; taking elements of the column would do that each time.
     CROSS JOIN LATERAL (SELECT c.conn[:] AS conn, c.from_b[:] AS from_b, c.outbound[:] AS outbound, c.pos[:] AS pos,
                                c.seen[:] AS seen, c.taken[:] AS taken, c.start[:] AS start,
                                c.entry[:] AS entry, 0 || c.till AS till OFFSET 0) d
     CROSS JOIN LATERAL unnest(c.items) WITH ORDINALITY AS u(item, i)
     JOIN item i ON i.id = u.item AND i.day = c.day AND c.items @> ARRAY[i.id]
     CROSS JOIN LATERAL unnest(d.entry[d.till[u.i] + 1 : d.till[u.i + 1]]) AS e(n)
     CROSS JOIN LATERAL (SELECT width_bucket(e.n + 32768, d.start) AS m OFFSET 0) w
     LEFT JOIN connection k ON k.id = d.conn[w.m];

-- announcement: what peers announced to the node.
CREATE VIEW announcement AS
SELECT seen_at, peer_address, peer_port, peer_name, NULL::text AS country, type, encode(hash, 'hex') AS hash, conn, capture,
       minute
FROM inv
WHERE NOT outbound;

-- sighting: on which connections the node learned of a transaction, by an announcement or by the transaction itself, and when at
-- first; of announcements only the first two of each day, type and hash. hash is as announced.
CREATE VIEW sighting AS
SELECT hash, first_seen AS seen_at, first_conn AS conn FROM item
WHERE type IN (1, 5, 1073741825) AND first_conn IS NOT NULL
UNION ALL
SELECT hash, second_seen, second_conn FROM item
WHERE type IN (1, 5, 1073741825) AND second_conn IS NOT NULL
UNION ALL
SELECT wtxid, seen_at, conn FROM tx WHERE NOT outbound;

-- tx_hash: the transactions that were captured themselves, so that txid and wtxid are known to be the same transaction.
CREATE VIEW tx_hash AS SELECT DISTINCT txid, wtxid FROM tx;

-- peers counts the connections on which the node learned of a transaction.
CREATE FUNCTION peers(hash bytea) RETURNS bigint LANGUAGE sql STABLE AS $$
    WITH known AS (SELECT $1 AS hash UNION SELECT wtxid FROM tx WHERE txid = $1)
    SELECT count(*) FROM (
        SELECT inv.conn FROM inv JOIN known USING (hash) WHERE inv.type IN (1, 5, 1073741825) AND NOT inv.outbound
        UNION
        SELECT tx.conn FROM tx WHERE tx.txid = $1 AND NOT tx.outbound) s
$$;

-- first_seen: who told the node first of each transaction. lead_us is how much earlier that was than the next connection's
-- sighting. hash is the txid where the transaction itself was captured, else the hash as announced.
CREATE VIEW first_seen AS
SELECT encode(f.hash, 'hex') AS hash, f.seen_at AS first_seen, s.name AS sensor, k.network,
       k.peer_address, k.peer_port, k.peer_name, NULL::text AS country,
       f.lead_us, peers(f.hash) AS peers, f.conn
FROM (SELECT hash, seen_at, conn, row_number() OVER w AS place,
             (extract(epoch FROM lead(seen_at) OVER w - seen_at) * 1000000)::bigint AS lead_us
      FROM (SELECT hash, conn, min(seen_at) AS seen_at
            FROM (SELECT s.hash, s.seen_at, s.conn FROM sighting s
                  WHERE NOT EXISTS (SELECT FROM tx t WHERE t.wtxid = s.hash)
                  UNION ALL
                  SELECT t.txid, s.seen_at, s.conn FROM tx_hash t JOIN sighting s ON s.hash = t.wtxid) a
            GROUP BY hash, conn) b
      WINDOW w AS (PARTITION BY hash ORDER BY seen_at, conn)) f
     JOIN connection k ON k.id = f.conn
     JOIN capture c ON c.id = k.capture
     JOIN sensor s ON s.id = c.sensor
WHERE f.place = 1;
