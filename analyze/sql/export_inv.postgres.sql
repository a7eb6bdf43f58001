-- What the view inv has, for reading all of it. The view goes from each item to its chunks, and takes a chunk out of storage anew for each
-- of its items; here each chunk is taken out once. This text is for Postgres.
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
FROM inv_chunk c
     -- || '{}' takes an array out of storage.
     CROSS JOIN LATERAL (
         SELECT c.conn || '{}'::bigint[] AS conn, c.from_b || '{}'::boolean[] AS from_b, c.outbound || '{}'::boolean[] AS outbound,
                c.pos || '{}'::bigint[] AS pos, c.seen || '{}'::int[] AS seen, c.taken || '{}'::bigint[] AS taken,
                c.start || '{}'::smallint[] AS start, '{0}'::smallint[] || c.till AS till, c.entry || '{}'::smallint[] AS entry,
                '{}'::json AS once -- can't be hashed, and so keeps the planner from remembering results by their arrays
         OFFSET 0) d
     CROSS JOIN LATERAL unnest(c.items) WITH ORDINALITY AS t (item, i)
     -- One look into the index for each: a hash of all items would have the arrays written to disk beside it.
     CROSS JOIN LATERAL (SELECT type, hash FROM item WHERE item.id = t.item AND item.day = c.day OFFSET 0) i
     CROSS JOIN LATERAL (
         SELECT d.conn[m] AS conn, d.from_b[m] AS from_b, d.outbound[m] AS outbound, d.pos[m] AS pos, d.seen[m] AS seen,
                d.taken[m] AS taken, n - d.start[m] AS index,
                coalesce(d.start[m + 1], cardinality(d.entry)) - d.start[m] AS size
         FROM (SELECT n, width_bucket(n, d.start) AS m -- the message that number n is of
               FROM unnest(d.entry[d.till[t.i] + 1 : d.till[t.i + 1]]) AS u (n)
               WHERE d.once IS NOT NULL OFFSET 0) x
         OFFSET 0) e
     LEFT JOIN connection k ON k.id = e.conn
