-- Views for people, with the columns of the Postgres ones.

-- As in Postgres: encode(hash, 'hex') is what block explorers show, and decode() reads it.
CREATE MACRO encode(bytes, format) AS lower(hex(bytes));
CREATE MACRO decode(digits, format) AS unhex(digits);

CREATE VIEW inv AS
SELECT r.seen_at, r.first_byte_at, r.capture, r.conn, r.from_b, r.outbound, r.pos, r.index, r.count, r.type, r.hash,
       CASE WHEN r.from_b = r.outbound THEN k.a_address ELSE k.b_address END AS peer_address,
       CASE WHEN r.from_b = r.outbound THEN k.a_port ELSE k.b_port END       AS peer_port,
       k.peer_name,
       time_bucket(INTERVAL 1 MINUTE, r.seen_at) AS minute
FROM inv_row r LEFT JOIN connection k ON k.id = r.conn;

CREATE VIEW announcement AS
SELECT seen_at, peer_address, peer_port, peer_name, NULL::VARCHAR AS country, type, encode(hash, 'hex') AS hash, conn, capture,
       minute
FROM inv
WHERE NOT outbound;

CREATE VIEW sighting AS
SELECT hash, min(seen_at) AS seen_at, conn FROM inv_row
WHERE type IN (1, 5, 1073741825) AND NOT outbound
GROUP BY hash, conn
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
