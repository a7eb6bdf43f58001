-- Views for people, with the columns of the Postgres ones.

-- As in Postgres: encode(hash, 'hex') is what block explorers show, and decode() reads it. With one argument they are DuckDB's own.
CREATE MACRO encode(bytes, format) AS
    CASE WHEN format = 'hex' THEN lower(hex(bytes)) ELSE error('encode: the only format is hex') END,
    (string) AS system.main.encode(string);
CREATE MACRO decode(digits, format) AS
    CASE WHEN format = 'hex' THEN unhex(digits) ELSE error('decode: the only format is hex') END,
    (bytes) AS system.main.decode(bytes);

-- peer_host is the peer's address without its port, or the name that a proxy was asked for, without the port: what place.host holds.
CREATE MACRO peer_host(address, name) AS
    CASE WHEN name IS NULL THEN address
         ELSE trim(left(name, length(name) - strpos(reverse(name), ':')), '[]') END;

-- peer_place: where the peer of a connection was, one row a connection. Of several rows of place, the one that was the latest when
-- the connection opened holds, else the earliest. place is the country, or for peers that have none the kind: tor, i2p, cjdns, private.
CREATE VIEW peer_place AS
SELECT k.id AS conn, coalesce(p.kind, 'unknown') AS kind, p.country, p.city, p.latitude, p.longitude, p.time_zone, p.asn,
       p.organisation, p.as_of,
       coalesce(p.country, CASE WHEN p.kind IN ('tor', 'i2p', 'cjdns', 'private') THEN p.kind END) AS place
FROM connection k
     LEFT JOIN (
         SELECT *, CASE WHEN row_number() OVER w > 1 THEN as_of END AS since, lead(as_of) OVER w AS until
         FROM place
         WINDOW w AS (PARTITION BY host ORDER BY as_of NULLS LAST)
         QUALIFY as_of IS NOT NULL OR row_number() OVER w = 1) p
     ON p.host = peer_host(k.peer_address, k.peer_name)
        AND (p.since IS NULL OR p.since <= k.opened_at) AND (p.until IS NULL OR k.opened_at < p.until);

-- inv: one row an announcement. A condition on hash leaves few items. The join with them says twice what it means: from the least and the
-- greatest of a message's items DuckDB knows, before it reads and unpacks them, which messages may hold one that is left; and it asks
-- for these only if each of the other conditions is on something computed, here the opposite number, which -item is for that reason alone.
CREATE VIEW inv AS
SELECT m.seen_at, m.first_byte_at, m.capture, m.conn, m.from_b, m.outbound, m.pos, m.index, m.count, i.type, i.hash,
       CASE WHEN m.from_b = m.outbound THEN k.a_address ELSE k.b_address END AS peer_address,
       CASE WHEN m.from_b = m.outbound THEN k.a_port ELSE k.b_port END       AS peer_port,
       k.peer_name,
       time_bucket(INTERVAL 1 MINUTE, m.seen_at) AS minute
FROM (SELECT seen_at, first_byte_at, capture, conn, from_b, outbound, pos, len(items)::INTEGER AS count,
             unnest(items) AS item, (generate_subscripts(items, 1) - 1)::INTEGER AS index, item_min, item_max
      FROM inv_message) m
     JOIN item i ON -i.id = -m.item AND m.item_min <= i.id AND m.item_max >= i.id
     LEFT JOIN connection k ON k.id = m.conn;

-- It doesn't read the view inv, but the tables behind it, so that places are joined to connections, not to announcements.
CREATE VIEW announcement AS
SELECT m.seen_at,
       CASE WHEN m.from_b THEN k.b_address ELSE k.a_address END AS peer_address,
       CASE WHEN m.from_b THEN k.b_port ELSE k.a_port END       AS peer_port,
       k.peer_name, k.place AS country, i.type, encode(i.hash, 'hex') AS hash, m.conn, m.capture,
       time_bucket(INTERVAL 1 MINUTE, m.seen_at) AS minute
FROM (SELECT seen_at, capture, conn, from_b, unnest(items) AS item, item_min, item_max FROM inv_message WHERE NOT outbound) m
     JOIN item i ON -i.id = -m.item AND m.item_min <= i.id AND m.item_max >= i.id -- as in inv
     LEFT JOIN (SELECT c.*, p.place FROM connection c LEFT JOIN peer_place p ON p.conn = c.id) k ON k.id = m.conn;

-- sighting: on which connections the node learned of a transaction, by an announcement or by the transaction itself, and when at
-- first. hash is as announced.
CREATE VIEW sighting AS
SELECT i.hash, m.seen_at, m.conn
FROM (SELECT conn, item, min(seen_at) AS seen_at
      FROM (SELECT conn, unnest(items) AS item, seen_at FROM inv_message WHERE NOT outbound)
      GROUP BY conn, item) m
     JOIN item i ON i.id = m.item
WHERE i.type IN (1, 5, 1073741825)
UNION ALL
SELECT wtxid, seen_at, conn FROM tx WHERE NOT outbound;

CREATE VIEW tx_hash AS SELECT DISTINCT txid, wtxid FROM tx;

-- first_seen: who told the node first of each transaction. Who and when is in inv_first; only peers has to be counted in all messages. The two
-- are joined by the hash as hex digits, through which a condition on it reaches both.
CREATE VIEW first_seen AS
WITH known AS NOT MATERIALIZED ( -- the hash by which the transaction of an item is known
    SELECT i.id AS item, coalesce(t.txid, i.hash) AS hash
    FROM item i LEFT JOIN tx_hash t ON t.wtxid = i.hash
    WHERE i.type IN (1, 5, 1073741825))
SELECT f.hash, f.seen[1] AS first_seen, s.name AS sensor, k.network, k.peer_address, k.peer_port, k.peer_name, p.place AS country,
       epoch_us(f.seen[2]) - epoch_us(f.seen[1]) AS lead_us, n.peers, f.conn
FROM (SELECT encode(hash, 'hex') AS hash, min(seen_at, 2) AS seen, arg_min(conn, row(seen_at, conn)) AS conn
      FROM (SELECT hash, conn, min(seen_at) AS seen_at
            FROM (SELECT w.hash, e.first_conn AS conn, e.first_seen AS seen_at FROM inv_first e JOIN known w ON w.item = e.item
                  UNION ALL
                  SELECT w.hash, e.second_conn, e.second_seen FROM inv_first e JOIN known w ON w.item = e.item
                  WHERE e.second_conn IS NOT NULL
                  UNION ALL
                  SELECT txid, conn, seen_at FROM tx WHERE NOT outbound)
            GROUP BY hash, conn)
      GROUP BY hash) f
     JOIN (SELECT encode(hash, 'hex') AS hash, count(*) AS peers
           FROM (SELECT w.hash, m.conn
                 FROM (SELECT conn, unnest(items) AS item, item_min, item_max FROM inv_message WHERE NOT outbound) m
                      JOIN known w ON -w.item = -m.item AND m.item_min <= w.item AND m.item_max >= w.item -- as in inv
                 UNION
                 SELECT txid, conn FROM tx WHERE NOT outbound)
           GROUP BY hash) n ON n.hash = f.hash
     JOIN connection k ON k.id = f.conn
     LEFT JOIN peer_place p ON p.conn = f.conn
     JOIN capture c ON c.id = k.capture
     JOIN sensor s ON s.id = c.sensor;
