-- Views for people. docs/schema.md has their columns and queries that give the same answer on every database.

-- peer_host is the peer's address without its port, or the name that a proxy was asked for, without the port: what place.host holds.
CREATE FUNCTION peer_host(address text, name text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN name IS NULL THEN address
                ELSE btrim(left(name, length(name) - strpos(reverse(name), ':')), '[]') END
$$;

-- peer_place: where the peer of a connection was, one row a connection. Of several rows of place, the one that was the latest when
-- the connection opened holds, else the earliest. place is the country, or for peers that have none the kind: tor, i2p, cjdns, private.
CREATE VIEW peer_place AS
SELECT k.id AS conn, coalesce(p.kind, 'unknown') AS kind, p.country, p.city, p.latitude, p.longitude, p.time_zone, p.asn,
       p.organisation, p.as_of,
       coalesce(p.country, CASE WHEN p.kind IN ('tor', 'i2p', 'cjdns', 'private') THEN p.kind END) AS place
FROM connection k
     LEFT JOIN LATERAL (
         SELECT * FROM place
         WHERE place.host = peer_host(k.peer_address, k.peer_name)
         ORDER BY CASE WHEN place.as_of <= k.opened_at THEN place.as_of END DESC NULLS LAST, place.as_of NULLS LAST
         LIMIT 1) p ON true;

-- just_item makes a set of one item. It is said to be costly, so that the planner goes from items to chunks through the index of
-- inv_chunk.items only, and never compares each item with each chunk.
CREATE FUNCTION just_item(item bigint) RETURNS bigint[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 1000 AS $$
BEGIN
    RETURN ARRAY[item];
END
$$;

-- inv: one row an announcement. A condition on hash or on minute (of seen_at) finds what it needs through an index; one on other
-- columns alone unpacks everything.
CREATE VIEW inv AS
SELECT c.minute + e.seen * interval '1 microsecond'                  AS seen_at,
       c.minute + (e.seen - e.taken) / 60000000 * interval '1 minute'
                + (e.seen - e.taken) % 60000000 * interval '1 microsecond' AS first_byte_at, -- exact however long it took
       c.capture, e.conn, e.from_b, e.outbound, e.pos,
       e.index + c.piece_at                                          AS index,
       coalesce(c.piece_of, e.size)                                  AS count,
       i.type, i.hash,
       CASE WHEN e.from_b = e.outbound THEN k.a_address ELSE k.b_address END AS peer_address,
       CASE WHEN e.from_b = e.outbound THEN k.a_port ELSE k.b_port END       AS peer_port,
       k.peer_name,
       c.minute
FROM item i
     JOIN inv_chunk c ON c.items @> just_item(i.id) -- the way from an item to its chunks
                     AND i.id = ANY (c.items)       -- the same thing, as the way from a chunk to its items
                     -- Each way needs one partition. Ranges, because joining by equal days alone would be a bad third way.
                     AND i.day BETWEEN c.day AND c.day
                     AND c.minute >= i.day::timestamp AT TIME ZONE 'UTC'
                     AND c.minute < (i.day + 1)::timestamp AT TIME ZONE 'UTC'
     -- || '{}' takes an array out of storage, once; taking elements of the columns would do that each time.
     CROSS JOIN LATERAL (
         SELECT c.conn || '{}'::bigint[] AS conn, c.from_b || '{}'::boolean[] AS from_b, c.outbound || '{}'::boolean[] AS outbound,
                c.pos || '{}'::bigint[] AS pos, c.seen || '{}'::int[] AS seen, c.taken || '{}'::bigint[] AS taken,
                c.start || '{}'::smallint[] AS start, '{0}'::smallint[] || c.till AS till, c.entry || '{}'::smallint[] AS entry,
                array_position(c.items, i.id) AS i,
                '{}'::json AS once -- can't be hashed, and so keeps the planner from remembering results by their arrays
         OFFSET 0) d
     CROSS JOIN LATERAL (
         SELECT d.conn[m] AS conn, d.from_b[m] AS from_b, d.outbound[m] AS outbound, d.pos[m] AS pos, d.seen[m] AS seen,
                d.taken[m] AS taken, n - d.start[m] AS index,
                coalesce(d.start[m + 1], cardinality(d.entry)) - d.start[m] AS size
         FROM (SELECT n, width_bucket(n, d.start) AS m -- the message that number n is of
               FROM unnest(d.entry[d.till[d.i] + 1 : d.till[d.i + 1]]) AS u (n)
               WHERE d.once IS NOT NULL OFFSET 0) x
         OFFSET 0) e
     LEFT JOIN connection k ON k.id = e.conn;

-- announcement: what peers announced to the node.
CREATE VIEW announcement AS
SELECT seen_at, peer_address, peer_port, peer_name, (SELECT p.place FROM peer_place p WHERE p.conn = inv.conn) AS country,
       type, encode(hash, 'hex') AS hash, conn, capture, minute
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

-- peers counts the connections on which the node learned of a transaction, given as first_seen has it.
CREATE FUNCTION peers(transaction bytea) RETURNS bigint LANGUAGE plpgsql STABLE SET jit = off AS $$
DECLARE
    known bytea[] := ARRAY(SELECT transaction UNION SELECT t.wtxid FROM tx t WHERE t.txid = transaction);
BEGIN
    RETURN (SELECT count(*) FROM (
        SELECT i.conn FROM inv i WHERE i.hash = ANY (known) AND i.type IN (1, 5, 1073741825) AND NOT i.outbound
        UNION
        SELECT t.conn FROM tx t WHERE t.txid = transaction AND NOT t.outbound) s);
END
$$;

-- first_seen: who told the node first of each transaction. lead_us is how much earlier that was than the next connection's
-- sighting. hash is the txid where the transaction itself was captured, else the hash as announced. It doesn't read the view
-- sighting, but the tables behind it: only so does a condition on hash reach each of them through an index.
CREATE VIEW first_seen AS
SELECT encode(f.hash, 'hex') AS hash, f.seen_at AS first_seen, k.sensor, k.network,
       k.peer_address, k.peer_port, k.peer_name, (SELECT p.place FROM peer_place p WHERE p.conn = f.conn) AS country,
       f.lead_us, peers(f.hash) AS peers, f.conn
FROM (SELECT hash, seen_at, conn, row_number() OVER w AS place,
             (extract(epoch FROM lead(seen_at) OVER w - seen_at) * 1000000)::bigint AS lead_us
      FROM (SELECT hash, conn, min(seen_at) AS seen_at
            FROM (SELECT i.hash, v.seen_at, v.conn
                  FROM item i
                       CROSS JOIN LATERAL (VALUES (i.first_seen, i.first_conn), (i.second_seen, i.second_conn)) v (seen_at, conn)
                  WHERE i.type IN (1, 5, 1073741825) AND v.conn IS NOT NULL
                    AND NOT EXISTS (SELECT FROM tx t WHERE t.wtxid = i.hash)
                  UNION ALL
                  SELECT t.txid, v.seen_at, v.conn
                  FROM tx_hash t JOIN item i ON i.hash = t.wtxid
                       CROSS JOIN LATERAL (VALUES (i.first_seen, i.first_conn), (i.second_seen, i.second_conn)) v (seen_at, conn)
                  WHERE i.type IN (1, 5, 1073741825) AND v.conn IS NOT NULL
                  UNION ALL
                  SELECT t.txid, t.seen_at, t.conn FROM tx t WHERE NOT t.outbound) a
            GROUP BY hash, conn) b
      WINDOW w AS (PARTITION BY hash ORDER BY seen_at, conn)) f
     CROSS JOIN LATERAL (
         SELECT s.name AS sensor, k.network, k.peer_address, k.peer_port, k.peer_name
         FROM connection k JOIN capture c ON c.id = k.capture JOIN sensor s ON s.id = c.sensor
         WHERE k.id = f.conn
         OFFSET 0) k -- one look into the index for each, as the planner can't know that there are many
WHERE f.place = 1;
