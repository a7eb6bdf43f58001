-- Views for people, with the columns of the Postgres ones.

-- As in Postgres: encode(hash, 'hex') is what block explorers show, and decode() reads it. With one argument they are DuckDB's own.
CREATE MACRO encode(bytes, format) AS
    CASE WHEN format = 'hex' THEN lower(hex(bytes)) ELSE error('encode: the only format is hex') END,
    (string) AS system.main.encode(string);
CREATE MACRO decode(digits, format) AS
    CASE WHEN format = 'hex' THEN unhex(digits) ELSE error('decode: the only format is hex') END,
    (bytes) AS system.main.decode(bytes);

CREATE VIEW inv AS
SELECT m.seen_at, m.first_byte_at, m.capture, m.conn, m.from_b, m.outbound, m.pos, m.index, m.count, i.type, i.hash,
       CASE WHEN m.from_b = m.outbound THEN k.a_address ELSE k.b_address END AS peer_address,
       CASE WHEN m.from_b = m.outbound THEN k.a_port ELSE k.b_port END       AS peer_port,
       k.peer_name,
       time_bucket(INTERVAL 1 MINUTE, m.seen_at) AS minute
FROM (SELECT seen_at, first_byte_at, capture, conn, from_b, outbound, pos, len(items)::INTEGER AS count,
             unnest(items) AS item, (generate_subscripts(items, 1) - 1)::INTEGER AS index
      FROM inv_message) m
     JOIN item i ON i.id = m.item
     LEFT JOIN connection k ON k.id = m.conn;

CREATE VIEW announcement AS
SELECT seen_at, peer_address, peer_port, peer_name, NULL::VARCHAR AS country, type, encode(hash, 'hex') AS hash, conn, capture,
       minute
FROM inv
WHERE NOT outbound;

CREATE VIEW sighting AS
SELECT i.hash, min(m.seen_at) AS seen_at, m.conn
FROM (SELECT conn, item, min(seen_at) AS seen_at
      FROM (SELECT conn, unnest(items) AS item, seen_at FROM inv_message WHERE NOT outbound)
      GROUP BY conn, item) m
     JOIN item i ON i.id = m.item
WHERE i.type IN (1, 5, 1073741825)
GROUP BY i.hash, m.conn
UNION ALL
SELECT wtxid, seen_at, conn FROM tx WHERE NOT outbound;

CREATE VIEW tx_hash AS SELECT DISTINCT txid, wtxid FROM tx;

CREATE VIEW first_seen AS
SELECT encode(f.hash, 'hex') AS hash, f.seen_at AS first_seen, s.name AS sensor, k.network,
       k.peer_address, k.peer_port, k.peer_name, NULL::VARCHAR AS country,
       f.lead_us, f.peers, f.conn
FROM (SELECT hash, seen_at, conn, row_number() OVER w AS place,
             epoch_us(lead(seen_at) OVER w) - epoch_us(seen_at) AS lead_us,
             count(*) OVER (PARTITION BY hash) AS peers
      FROM (SELECT hash, conn, min(seen_at) AS seen_at
            FROM (SELECT s.hash, s.seen_at, s.conn FROM sighting s
                  WHERE NOT EXISTS (SELECT 1 FROM tx t WHERE t.wtxid = s.hash)
                  UNION ALL
                  SELECT t.txid, s.seen_at, s.conn FROM tx_hash t JOIN sighting s ON s.hash = t.wtxid) a
            GROUP BY hash, conn) b
      WINDOW w AS (PARTITION BY hash ORDER BY seen_at, conn)) f
     JOIN connection k ON k.id = f.conn
     JOIN capture c ON c.id = k.capture
     JOIN sensor s ON s.id = c.sensor
WHERE f.place = 1;
