-- The tables and views of btcsniff in DuckDB: those of the Postgres schema, which explains the words, for one writer.
-- There are no foreign keys, and indexes only where a rule needs one: columns are scanned fast, and all this would slow down the writer.

CREATE SEQUENCE sensor_id;
CREATE TABLE sensor (
    id   INTEGER PRIMARY KEY DEFAULT nextval('sensor_id'),
    name VARCHAR NOT NULL UNIQUE
);

CREATE SEQUENCE capture_id;
CREATE TABLE capture (
    id       INTEGER PRIMARY KEY DEFAULT nextval('capture_id'),
    sensor   INTEGER     NOT NULL,
    name     VARCHAR     NOT NULL,
    first_at TIMESTAMPTZ NOT NULL,
    digest   BLOB        NOT NULL,
    complete BOOLEAN     NOT NULL DEFAULT false,
    ledger   JSON,
    UNIQUE (sensor, first_at, digest)
);

CREATE TABLE capture_file (
    capture  INTEGER NOT NULL,
    name     VARCHAR NOT NULL,
    size     BIGINT  NOT NULL,
    packets  BIGINT  NOT NULL,
    first_at TIMESTAMPTZ,
    last_at  TIMESTAMPTZ,
    problem  VARCHAR,
    PRIMARY KEY (capture, name)
);

CREATE TABLE blind (
    sensor  INTEGER     NOT NULL,
    capture INTEGER     NOT NULL,
    from_at TIMESTAMPTZ NOT NULL,
    to_at   TIMESTAMPTZ NOT NULL,
    reason  VARCHAR     NOT NULL,
    packets BIGINT,
    records BIGINT,
    bytes   BIGINT,
    PRIMARY KEY (capture, reason, from_at)
);

CREATE SEQUENCE batch_id;
CREATE TABLE batch (
    id           BIGINT      PRIMARY KEY DEFAULT nextval('batch_id'),
    capture      INTEGER     NOT NULL,
    seq          BIGINT      NOT NULL,
    digest       BLOB        NOT NULL,
    records      BIGINT      NOT NULL,
    committed_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    UNIQUE (capture, digest)
);

CREATE TABLE connection (
    id           BIGINT      PRIMARY KEY,
    capture      INTEGER     NOT NULL,
    a_address    VARCHAR     NOT NULL,
    a_port       INTEGER     NOT NULL,
    b_address    VARCHAR     NOT NULL,
    b_port       INTEGER     NOT NULL,
    local_a      BOOLEAN     NOT NULL,
    local_b      BOOLEAN     NOT NULL,
    opener_known BOOLEAN     NOT NULL,
    peer_address VARCHAR     NOT NULL,
    peer_port    INTEGER     NOT NULL,
    peer_name    VARCHAR,
    network      VARCHAR,
    opened_at    TIMESTAMPTZ NOT NULL,
    closed_at    TIMESTAMPTZ,
    start        VARCHAR,
    transport    VARCHAR,
    handshake_rtt_us BIGINT,
    user_agent   VARCHAR,
    a_segments   BIGINT, a_bytes BIGINT, a_retransmitted BIGINT, a_lost BIGINT, a_unseen BIGINT, a_resyncs BIGINT, a_messages BIGINT,
    b_segments   BIGINT, b_bytes BIGINT, b_retransmitted BIGINT, b_lost BIGINT, b_unseen BIGINT, b_resyncs BIGINT, b_messages BIGINT
);

CREATE TABLE place (
    host         VARCHAR NOT NULL,
    as_of        TIMESTAMPTZ,
    kind         VARCHAR NOT NULL,
    country      VARCHAR,
    city         VARCHAR,
    latitude     DOUBLE,
    longitude    DOUBLE,
    time_zone    VARCHAR,
    asn          BIGINT,
    organisation VARCHAR
);

-- The dictionary of announced items. An item that comes again much later, or in another run, may have a second row with another id.
CREATE TABLE item (
    id   BIGINT NOT NULL,
    type BIGINT NOT NULL,
    hash BLOB   NOT NULL
);

-- One row an inv message, with the ids of what it announces: 2 to 4 bytes an announcement, where a row for each takes 5 to 40. The
-- view inv unpacks this.
CREATE TABLE inv_message (
    seen_at       TIMESTAMPTZ NOT NULL,
    first_byte_at TIMESTAMPTZ NOT NULL,
    capture       INTEGER     NOT NULL,
    conn          BIGINT      NOT NULL,
    from_b        BOOLEAN     NOT NULL,
    outbound      BOOLEAN     NOT NULL,
    pos           BIGINT      NOT NULL,
    items         BIGINT[]    NOT NULL,
    item_min      BIGINT      NOT NULL, -- the least and the greatest of items: new items get greater numbers, so that a condition on these
    item_max      BIGINT      NOT NULL  -- leaves out nearly all messages but those of an item's own time
);

-- For each item and transaction of the writer the first sightings on the two connections that were first to announce it to the node: a
-- hundredth part of all announcements, which holds the first two of all.
CREATE TABLE inv_first (
    item        BIGINT      NOT NULL,
    first_seen  TIMESTAMPTZ NOT NULL,
    first_conn  BIGINT      NOT NULL,
    second_seen TIMESTAMPTZ,
    second_conn BIGINT
);

CREATE TABLE tx (
    capture       INTEGER     NOT NULL,
    conn          BIGINT      NOT NULL,
    from_b        BOOLEAN     NOT NULL,
    outbound      BOOLEAN     NOT NULL,
    pos           BIGINT      NOT NULL,
    seen_at       TIMESTAMPTZ NOT NULL,
    first_byte_at TIMESTAMPTZ NOT NULL,
    txid          BLOB        NOT NULL,
    wtxid         BLOB        NOT NULL,
    version       INTEGER     NOT NULL,
    lock_time     BIGINT      NOT NULL,
    size          INTEGER     NOT NULL,
    weight        INTEGER     NOT NULL
);

CREATE TABLE tx_input (
    capture   INTEGER     NOT NULL,
    conn      BIGINT      NOT NULL,
    from_b    BOOLEAN     NOT NULL,
    pos       BIGINT      NOT NULL,
    seen_at   TIMESTAMPTZ NOT NULL,
    txid      BLOB        NOT NULL,
    index     INTEGER     NOT NULL,
    prev_txid BLOB        NOT NULL,
    prev_vout BIGINT      NOT NULL,
    sequence  BIGINT      NOT NULL
);

CREATE TABLE tx_output (
    capture     INTEGER     NOT NULL,
    conn        BIGINT      NOT NULL,
    from_b      BOOLEAN     NOT NULL,
    pos         BIGINT      NOT NULL,
    seen_at     TIMESTAMPTZ NOT NULL,
    txid        BLOB        NOT NULL,
    index       INTEGER     NOT NULL,
    value       BIGINT      NOT NULL,
    script_type VARCHAR     NOT NULL,
    address     VARCHAR
);

CREATE TABLE block (
    capture       INTEGER     NOT NULL,
    conn          BIGINT      NOT NULL,
    from_b        BOOLEAN     NOT NULL,
    outbound      BOOLEAN     NOT NULL,
    pos           BIGINT      NOT NULL,
    seen_at       TIMESTAMPTZ NOT NULL,
    first_byte_at TIMESTAMPTZ NOT NULL,
    index         INTEGER     NOT NULL,
    via           VARCHAR     NOT NULL,
    hash          BLOB        NOT NULL,
    prev          BLOB        NOT NULL
);

CREATE TABLE ping (
    capture       INTEGER     NOT NULL,
    conn          BIGINT      NOT NULL,
    from_b        BOOLEAN     NOT NULL,
    outbound      BOOLEAN     NOT NULL,
    pos           BIGINT      NOT NULL,
    seen_at       TIMESTAMPTZ NOT NULL,
    first_byte_at TIMESTAMPTZ NOT NULL,
    nonce         UBIGINT     NOT NULL
);

CREATE TABLE pong (
    capture       INTEGER     NOT NULL,
    conn          BIGINT      NOT NULL,
    from_b        BOOLEAN     NOT NULL,
    outbound      BOOLEAN     NOT NULL,
    pos           BIGINT      NOT NULL,
    seen_at       TIMESTAMPTZ NOT NULL,
    first_byte_at TIMESTAMPTZ NOT NULL,
    nonce         UBIGINT     NOT NULL,
    rtt_us        BIGINT
);

CREATE TABLE version (
    capture       INTEGER     NOT NULL,
    conn          BIGINT      NOT NULL,
    from_b        BOOLEAN     NOT NULL,
    outbound      BOOLEAN     NOT NULL,
    pos           BIGINT      NOT NULL,
    seen_at       TIMESTAMPTZ NOT NULL,
    first_byte_at TIMESTAMPTZ NOT NULL,
    protocol      INTEGER     NOT NULL,
    services      UBIGINT     NOT NULL,
    claimed_at    TIMESTAMPTZ,
    addr_recv     VARCHAR,
    addr_from     VARCHAR,
    nonce         UBIGINT     NOT NULL,
    user_agent    VARCHAR     NOT NULL,
    start_height  INTEGER     NOT NULL,
    relay         BOOLEAN     NOT NULL
);

CREATE TABLE addr (
    capture       INTEGER     NOT NULL,
    conn          BIGINT      NOT NULL,
    from_b        BOOLEAN     NOT NULL,
    outbound      BOOLEAN     NOT NULL,
    pos           BIGINT      NOT NULL,
    seen_at       TIMESTAMPTZ NOT NULL,
    first_byte_at TIMESTAMPTZ NOT NULL,
    index         INTEGER     NOT NULL,
    address       VARCHAR     NOT NULL,
    port          INTEGER     NOT NULL,
    services      UBIGINT     NOT NULL,
    last_seen     TIMESTAMPTZ
);
