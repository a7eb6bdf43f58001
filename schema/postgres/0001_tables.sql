-- The tables and views of btcsniff in Postgres, 13 or later. docs/schema.md explains each column and has queries.
--
-- Words. A sensor is a vantage point. A capture is one continuous recording there. A connection is one TCP connection,
-- between endpoints a and b. Every record was sent on a connection by b (from_b) or by a, and begins at byte pos of what
-- that side sent: (conn, from_b, pos), with index where a message holds several records, is the same in every run.
-- seen_at is when the message's last byte was captured, first_byte_at when its first was; outbound says that the observed
-- node sent it. Hashes are 32 bytes in the order that block explorers show: encode(hash, 'hex').
--
-- Announcements and all records are kept in partitions, one a UTC day, which add_day() makes and drop_before() drops.

CREATE TABLE sensor (
    id   int  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE
);

CREATE TABLE capture (
    id       int         GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sensor   int         NOT NULL REFERENCES sensor,
    name     text        NOT NULL, -- of the files without time stamp or counter, or of the interface
    first_at timestamptz NOT NULL, -- capture time of the first packet
    digest   bytea       NOT NULL, -- SHA-256 of the first packet
    complete boolean     NOT NULL DEFAULT false, -- a run has stored it up to its end
    ledger   jsonb,                -- what every packet and byte of it was; of the longest run
    UNIQUE (sensor, first_at, digest)
);

CREATE TABLE capture_file (
    capture  int         NOT NULL REFERENCES capture,
    name     text        NOT NULL,
    size     bigint      NOT NULL, -- bytes on disk
    packets  bigint      NOT NULL,
    first_at timestamptz,          -- null: it has no packets
    last_at  timestamptz,
    problem  text,                 -- why it was not read to its end
    PRIMARY KEY (capture, name)
);

-- Times in which a capture could not see, or not everything, or in which what it saw could not be kept: one row an interval.
CREATE TABLE blind (
    sensor  int         NOT NULL REFERENCES sensor,
    capture int         NOT NULL REFERENCES capture,
    from_at timestamptz NOT NULL,
    to_at   timestamptz NOT NULL,
    reason  text        NOT NULL, -- spool full, refused, kernel drops, interface drops, interface down
    packets bigint,               -- that are missing; null where that is not known, as for the next two
    records bigint,
    bytes   bigint,               -- that the records would have taken in the spool
    PRIMARY KEY (capture, reason, from_at)
);
CREATE INDEX blind_time ON blind (from_at, to_at);

-- A batch is what was stored in one transaction. Its row is what makes storing it again add nothing.
CREATE TABLE batch (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    capture      int         NOT NULL REFERENCES capture,
    seq          bigint      NOT NULL, -- its place in the run that stored it
    digest       bytea       NOT NULL, -- SHA-256 over the identities of its records
    records      bigint      NOT NULL, -- that were new
    writer       bigint      NOT NULL, -- random number of the run that stored it
    committed_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (capture, digest)
);
CREATE INDEX batch_capture ON batch (capture, id);

CREATE TABLE connection (
    id           bigint      PRIMARY KEY, -- computed from sensor, endpoints and opened_at: the same in every run
    capture      int         NOT NULL REFERENCES capture,
    a_address    text        NOT NULL,    -- a opened the connection if opener_known, else it sent the first packet seen
    a_port       int         NOT NULL,
    b_address    text        NOT NULL,
    b_port       int         NOT NULL,
    local_a      boolean     NOT NULL,    -- a belongs to the observed node
    local_b      boolean     NOT NULL,
    opener_known boolean     NOT NULL,
    peer_address text        NOT NULL,    -- the endpoint that is not local; b where none or both are
    peer_port    int         NOT NULL,
    peer_name    text,                    -- "host:port" that a proxy was asked to connect to
    network      text,
    opened_at    timestamptz NOT NULL,    -- capture time of the first packet
    closed_at    timestamptz,             -- of the last one; this and all that follows is null while it is open
    start        text,                    -- syn, or midstream: its opening was not captured
    transport    text,                    -- v1, v2 (encrypted), unknown
    handshake_rtt_us bigint,              -- SYN to the ACK of the SYN-ACK; null if these were not captured
    user_agent   text,                    -- the peer's
    a_segments   bigint, a_bytes bigint, a_retransmitted bigint, a_lost bigint, a_unseen bigint, a_resyncs bigint, a_messages bigint,
    b_segments   bigint, b_bytes bigint, b_retransmitted bigint, b_lost bigint, b_unseen bigint, b_resyncs bigint, b_messages bigint
) WITH (fillfactor = 30); -- a row is written again when its connection ends: there is room beside it, and no index changes
CREATE INDEX connection_capture ON connection (capture, opened_at);
CREATE INDEX connection_peer ON connection (peer_address);

-- Where peers are: one row a peer and build of the databases that were asked (--geoip). host is what peer_host() makes of a
-- connection. What is known from the address alone (onion addresses, private networks, ...) has no as_of. The view peer_place
-- says which row holds for a connection.
CREATE TABLE place (
    host         text   NOT NULL,
    as_of        timestamptz,     -- when the youngest of the databases was built
    kind         text   NOT NULL, -- internet, tor, i2p, cjdns, private, or unknown: in none of the databases
    country      text,            -- two letters, as ISO 3166-1 has them
    city         text,
    latitude     float8,          -- degrees
    longitude    float8,
    time_zone    text,            -- as the tz database names it
    asn          bigint,          -- number of the autonomous system
    organisation text             -- that runs it
);
CREATE UNIQUE INDEX place_host ON place (host, coalesce(as_of, '-infinity'));

-- The dictionary of announced items: each has one row for each UTC day on which it was announced.
CREATE SEQUENCE item_id;
CREATE TABLE item (
    id          bigint NOT NULL DEFAULT nextval('item_id'),
    day         date   NOT NULL,
    type        bigint NOT NULL, -- the number on the wire: 1 tx, 2 block, 5 wtx, ...
    hash        bytea  NOT NULL,
    -- The first two connections on which it was announced to the node that day, over all sensors.
    -- Null if there was none: what the node itself announces does not count.
    first_seen  timestamptz,
    first_conn  bigint,
    second_seen timestamptz,
    second_conn bigint,
    PRIMARY KEY (id, day),
    UNIQUE (hash, type, day)
) PARTITION BY RANGE (day);
CREATE INDEX item_hex ON item USING hash (encode(hash, 'hex'));
CREATE INDEX item_first_seen ON item USING brin (first_seen) WITH (pages_per_range = 16, autosummarize = on); -- items come nearly in order of time
CREATE INDEX item_block ON item (first_seen) WHERE type IN (2, 3, 4, 1073741826); -- blocks, which are few among them

-- The inv messages of one batch and minute, packed: 4 to 5 bytes an announcement where rows would take 80. A chunk has at most
-- 16,384 announcements, of at most some 2,000 items. The view inv unpacks this:
-- Message m is conn[m], from_b[m], ...; its announcements are numbered, within the chunk, from start[m] to start[m+1]-1.
-- The numbers of the announcements of items[i] are entry[till[i-1]+1 .. till[i]].
-- A message of more than 1,024 announcements has chunks of its own, for those from index piece_at on, of piece_of.
CREATE TABLE inv_chunk (
    capture  int         NOT NULL,
    minute   timestamptz NOT NULL, -- that all its messages were seen in
    day      date        NOT NULL, -- of minute, in UTC
    seen_min int         NOT NULL, -- the least and the greatest of seen
    seen_max int         NOT NULL,
    received int         NOT NULL, -- how many of its announcements peers sent; the others are the node's own
    piece_at int         NOT NULL,
    piece_of int, -- null for whole messages
    conn     bigint[]    NOT NULL,
    from_b   boolean[]   NOT NULL,
    outbound boolean[]   NOT NULL,
    pos      bigint[]    NOT NULL,
    seen     int[]       NOT NULL, -- seen_at, in microseconds after minute
    taken    bigint[]    NOT NULL, -- seen_at less first_byte_at, in microseconds
    start    smallint[]  NOT NULL,
    items    bigint[]    NOT NULL, -- item.id, without duplicates
    till     smallint[]  NOT NULL,
    entry    smallint[]  NOT NULL
) PARTITION BY RANGE (minute);
-- What hardly compresses is stored as it is: reading it is then several times faster.
ALTER TABLE inv_chunk ALTER conn SET STORAGE EXTERNAL, ALTER pos SET STORAGE EXTERNAL, ALTER seen SET STORAGE EXTERNAL,
    ALTER start SET STORAGE EXTERNAL, ALTER items SET STORAGE EXTERNAL, ALTER till SET STORAGE EXTERNAL,
    ALTER entry SET STORAGE EXTERNAL;
CREATE INDEX inv_chunk_minute ON inv_chunk (minute);
CREATE INDEX inv_chunk_items ON inv_chunk USING gin (items) WITH (gin_pending_list_limit = 1024); -- kB; searches read the list

CREATE TABLE tx (
    capture       int         NOT NULL,
    conn          bigint      NOT NULL,
    from_b        boolean     NOT NULL,
    outbound      boolean     NOT NULL,
    pos           bigint      NOT NULL,
    seen_at       timestamptz NOT NULL,
    first_byte_at timestamptz NOT NULL,
    txid          bytea       NOT NULL,
    wtxid         bytea       NOT NULL, -- txid where there is no witness
    version       int         NOT NULL,
    lock_time     bigint      NOT NULL,
    size          int         NOT NULL, -- bytes
    weight        int         NOT NULL  -- BIP 141 weight units
) PARTITION BY RANGE (seen_at);
CREATE INDEX tx_seen_at ON tx USING brin (seen_at);
CREATE INDEX tx_txid ON tx (txid);
CREATE INDEX tx_wtxid ON tx (wtxid);
CREATE INDEX tx_hex ON tx USING hash (encode(txid, 'hex'));

CREATE TABLE tx_input (
    capture   int         NOT NULL,
    conn      bigint      NOT NULL,
    from_b    boolean     NOT NULL,
    pos       bigint      NOT NULL,
    seen_at   timestamptz NOT NULL,
    txid      bytea       NOT NULL, -- of the transaction that has the input
    index     int         NOT NULL,
    prev_txid bytea       NOT NULL, -- the output that it spends
    prev_vout bigint      NOT NULL,
    sequence  bigint      NOT NULL
) PARTITION BY RANGE (seen_at);
CREATE INDEX tx_input_seen_at ON tx_input USING brin (seen_at);
CREATE INDEX tx_input_txid ON tx_input (txid);
CREATE INDEX tx_input_prev ON tx_input (prev_txid, prev_vout);

CREATE TABLE tx_output (
    capture     int         NOT NULL,
    conn        bigint      NOT NULL,
    from_b      boolean     NOT NULL,
    pos         bigint      NOT NULL,
    seen_at     timestamptz NOT NULL,
    txid        bytea       NOT NULL,
    index       int         NOT NULL,
    value       bigint      NOT NULL, -- satoshi
    script_type text        NOT NULL,
    address     text                  -- null where none exists
) PARTITION BY RANGE (seen_at);
CREATE INDEX tx_output_seen_at ON tx_output USING brin (seen_at);
CREATE INDEX tx_output_txid ON tx_output (txid);
CREATE INDEX tx_output_address ON tx_output (address);

CREATE TABLE block (
    capture       int         NOT NULL,
    conn          bigint      NOT NULL,
    from_b        boolean     NOT NULL,
    outbound      boolean     NOT NULL,
    pos           bigint      NOT NULL,
    seen_at       timestamptz NOT NULL,
    first_byte_at timestamptz NOT NULL,
    index         int         NOT NULL,
    via           text        NOT NULL, -- headers, cmpctblock or block
    hash          bytea       NOT NULL,
    prev          bytea       NOT NULL
) PARTITION BY RANGE (seen_at);
CREATE INDEX block_seen_at ON block USING brin (seen_at);
CREATE INDEX block_hash ON block (hash);

CREATE TABLE ping (
    capture       int         NOT NULL,
    conn          bigint      NOT NULL,
    from_b        boolean     NOT NULL,
    outbound      boolean     NOT NULL,
    pos           bigint      NOT NULL,
    seen_at       timestamptz NOT NULL,
    first_byte_at timestamptz NOT NULL,
    nonce         numeric(20) NOT NULL
) PARTITION BY RANGE (seen_at);
CREATE INDEX ping_seen_at ON ping USING brin (seen_at);

CREATE TABLE pong (
    capture       int         NOT NULL,
    conn          bigint      NOT NULL,
    from_b        boolean     NOT NULL,
    outbound      boolean     NOT NULL,
    pos           bigint      NOT NULL,
    seen_at       timestamptz NOT NULL,
    first_byte_at timestamptz NOT NULL,
    nonce         numeric(20) NOT NULL,
    rtt_us        bigint                -- null if the ping was not captured
) PARTITION BY RANGE (seen_at);
CREATE INDEX pong_seen_at ON pong USING brin (seen_at);

CREATE TABLE version (
    capture       int         NOT NULL,
    conn          bigint      NOT NULL,
    from_b        boolean     NOT NULL,
    outbound      boolean     NOT NULL,
    pos           bigint      NOT NULL,
    seen_at       timestamptz NOT NULL,
    first_byte_at timestamptz NOT NULL,
    protocol      int         NOT NULL,
    services      numeric(20) NOT NULL,
    claimed_at    timestamptz,          -- the sender's clock; null outside the years 1970 to 9999
    addr_recv     text,                 -- "ip:port", "[v6]:port"
    addr_from     text,
    nonce         numeric(20) NOT NULL,
    user_agent    text        NOT NULL,
    start_height  int         NOT NULL,
    relay         boolean     NOT NULL
) PARTITION BY RANGE (seen_at);
CREATE INDEX version_seen_at ON version USING brin (seen_at);
CREATE INDEX version_conn ON version (conn);

CREATE TABLE addr (
    capture       int         NOT NULL,
    conn          bigint      NOT NULL,
    from_b        boolean     NOT NULL,
    outbound      boolean     NOT NULL,
    pos           bigint      NOT NULL,
    seen_at       timestamptz NOT NULL,
    first_byte_at timestamptz NOT NULL,
    index         int         NOT NULL,
    address       text        NOT NULL,
    port          int         NOT NULL,
    services      numeric(20) NOT NULL,
    last_seen     timestamptz           -- as the sender claims; null outside the years 1970 to 9999
) PARTITION BY RANGE (seen_at);
CREATE INDEX addr_seen_at ON addr USING brin (seen_at);

-- partitioned names the tables that have a partition a day.
CREATE FUNCTION partitioned() RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY['item', 'inv_chunk', 'tx', 'tx_input', 'tx_output', 'block', 'ping', 'pong', 'version', 'addr']
$$;

-- add_day makes the partitions of a UTC day, as far as they don't exist. Readers and writers of other days go on meanwhile.
CREATE FUNCTION add_day(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    part   text;
    suffix text := to_char(day, '_YYYYMMDD');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('btcsniff add_day ' || current_schema(), 0));
    FOREACH parent IN ARRAY partitioned() LOOP
        part := parent || suffix;
        CONTINUE WHEN to_regclass(quote_ident(part)) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', part, parent);
        IF parent = 'item' THEN
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                parent, part, day, day + 1);
        ELSE
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                parent, part, to_char(day, 'YYYY-MM-DD 00:00:00+00'), to_char(day + 1, 'YYYY-MM-DD 00:00:00+00'));
        END IF;
    END LOOP;
END
$$;

-- drop_before drops all partitions of UTC days before the given one, and returns how many days these were. Connections that
-- closed before it go with them; sensors, captures, ledgers and batches stay, so that what was dropped is not stored again.
CREATE FUNCTION drop_before(day date) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    part regclass;
    parts regclass[];
    days text[] := '{}';
BEGIN
    -- What takes long first, as it locks no table.
    DELETE FROM connection WHERE closed_at < day::timestamp AT TIME ZONE 'UTC';
    parts := ARRAY(SELECT i.inhrelid FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = ANY (SELECT to_regclass(p) FROM unnest(partitioned()) p)
          AND c.relname ~ '_\d{8}$' AND right(c.relname, 8) < to_char(day, 'YYYYMMDD'));
    IF cardinality(parts) > 0 THEN
        FOREACH parent IN ARRAY partitioned() LOOP -- in the order in which writers use them, so that none waits in a circle
            EXECUTE format('LOCK TABLE ONLY %I IN ACCESS EXCLUSIVE MODE', parent);
        END LOOP;
    END IF;
    FOREACH part IN ARRAY parts LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_class WHERE oid = part); -- another has dropped it meanwhile
        days := days || right(part::text, 8);
        EXECUTE format('DROP TABLE %s', part);
    END LOOP;
    RETURN (SELECT count(DISTINCT d) FROM unnest(days) d);
END
$$;

-- Capture times that no real capture has (a broken or hostile file) all share two partitions.
DO $$
DECLARE
    parent text;
BEGIN
    FOREACH parent IN ARRAY partitioned() LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (MINVALUE) TO (%L)',
            parent || '_early', parent, CASE parent WHEN 'item' THEN '2009-01-01' ELSE '2009-01-01 00:00:00+00' END);
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (MAXVALUE)',
            parent || '_late', parent, CASE parent WHEN 'item' THEN '2107-01-01' ELSE '2107-01-01 00:00:00+00' END);
    END LOOP;
END
$$;
