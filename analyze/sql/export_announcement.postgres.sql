-- What the view announcement has, for reading all of it, out of export_inv's rows as inv. The view looks up the country of each of its
-- rows, which is fast for some; here those of all connections are looked up first. This text is for Postgres.
SELECT a.seen_at, a.peer_address, a.peer_port, a.peer_name, p.place AS country, a.type, encode(a.hash, 'hex') AS hash,
       a.conn, a.capture, a.minute
FROM inv a LEFT JOIN (SELECT conn, place FROM peer_place OFFSET 0) p ON p.conn = a.conn
WHERE NOT a.outbound
