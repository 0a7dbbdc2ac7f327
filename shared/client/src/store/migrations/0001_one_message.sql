-- Accounts and devices are stored in their wire form: 16 bytes and a number from 1 to 127.
-- Times are milliseconds of Unix time.

-- Who this device is. One row, from the moment keys are made.
CREATE TABLE this_device (
    one                   INTEGER PRIMARY KEY CHECK (one = 1),
    account               BLOB,                -- unknown while a link is being prepared
    device                INTEGER,             -- unknown until the service answered
    registration          INTEGER NOT NULL,
    signing_key           BLOB NOT NULL,       -- private
    identity_key          BLOB NOT NULL,       -- private
    next_signed_prekey    INTEGER NOT NULL,    -- ids rise and are never used twice, whatever is deleted
    next_one_time_prekey  INTEGER NOT NULL
) STRICT;

CREATE TABLE signed_prekeys (
    id          INTEGER PRIMARY KEY,
    key         BLOB NOT NULL,                 -- private
    made_at     INTEGER NOT NULL,
    published   INTEGER NOT NULL               -- 0 until the service confirmed it
) STRICT;

CREATE TABLE one_time_prekeys (
    id          INTEGER PRIMARY KEY,
    key         BLOB NOT NULL,                 -- private
    published   INTEGER NOT NULL               -- 0 until the service confirmed it
) STRICT;

-- Handshakes without a one-time prekey that were answered: a second one with the same base key is a replay.
CREATE TABLE answered_handshakes (
    base_key       BLOB NOT NULL PRIMARY KEY,
    signed_prekey  INTEGER NOT NULL REFERENCES signed_prekeys ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- The long-term keys a device was ever seen to use. One row is one life of that device: its sessions and
-- its channel belong to it.
CREATE TABLE peers (
    id            INTEGER PRIMARY KEY,
    account       BLOB NOT NULL,
    device        INTEGER NOT NULL,
    keys          BLOB NOT NULL,               -- signing key, identity key
    next_expected INTEGER NOT NULL DEFAULT 1,  -- the channel's next sequence number to show
    gap_since     INTEGER,                     -- when the first message ahead of a gap came
    UNIQUE (account, device, keys)
) STRICT;

-- What the service says an account's devices are. An account without a row here was never asked for.
CREATE TABLE accounts (
    account     BLOB NOT NULL PRIMARY KEY,
    stale       INTEGER NOT NULL               -- 1: ask the service before sending
) STRICT, WITHOUT ROWID;

-- One row is one registration. At most one of a device is listed; those before it are remembered, since
-- lists may arrive in another order than they were made in, and a channel goes on where it was.
CREATE TABLE devices (
    account       BLOB NOT NULL REFERENCES accounts ON DELETE CASCADE,
    device        INTEGER NOT NULL,
    registration  INTEGER NOT NULL,
    listed        INTEGER NOT NULL,
    peer          INTEGER REFERENCES peers,    -- NULL: its keys are not known yet
    next_sequence INTEGER NOT NULL DEFAULT 1,  -- of the channel to it
    PRIMARY KEY (account, device, registration)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX listed_device ON devices (account, device) WHERE listed = 1;

CREATE TABLE sessions (
    id            INTEGER PRIMARY KEY,
    peer          INTEGER NOT NULL REFERENCES peers ON DELETE CASCADE,
    session       BLOB NOT NULL,               -- the protocol's id of it, the same on both sides
    base_key      BLOB NOT NULL,               -- of the handshake that opened it
    state         BLOB NOT NULL,               -- private
    confirmed     INTEGER NOT NULL,            -- 1: both sides have it
    retired       INTEGER NOT NULL,            -- 1: never to be sent with again
    current       INTEGER NOT NULL,            -- 1: the one to send with
    highest       INTEGER NOT NULL,            -- the highest sequence number it brought
    used_at       INTEGER NOT NULL,
    UNIQUE (peer, base_key)
) STRICT;
CREATE UNIQUE INDEX current_session ON sessions (peer) WHERE current = 1;

CREATE TABLE messages (
    id            INTEGER PRIMARY KEY,
    message       BLOB NOT NULL,
    account       BLOB NOT NULL,               -- of the sending device
    device        INTEGER NOT NULL,
    conversation  BLOB NOT NULL,
    sequence      INTEGER NOT NULL,
    sent_at       INTEGER NOT NULL,
    body          TEXT NOT NULL,
    own           INTEGER NOT NULL,
    late          INTEGER NOT NULL,
    state         INTEGER NOT NULL,
    failure       TEXT,                        -- why, in state "failed"
    position      INTEGER UNIQUE,              -- NULL: ahead of a gap, not shown yet
    UNIQUE (account, device, message)
) STRICT;
CREATE INDEX conversation_order ON messages (conversation, position);

-- What arrived ahead of a gap of its channel.
CREATE TABLE held (
    id          INTEGER PRIMARY KEY,
    peer        INTEGER NOT NULL REFERENCES peers ON DELETE CASCADE,
    sequence    INTEGER NOT NULL,
    message     INTEGER REFERENCES messages    -- NULL: nothing to show, it only counts
) STRICT;
CREATE INDEX held_order ON held (peer, sequence);

-- Every envelope that was dealt with. What comes again is acked again and not looked at.
CREATE TABLE received (
    message     BLOB NOT NULL,
    account     BLOB NOT NULL,
    device      INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (message, account, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX received_order ON received (received_at);

-- Envelopes that could not be read: that they were, and why. Never what was in them.
CREATE TABLE dead_letters (
    message     BLOB NOT NULL,
    account     BLOB NOT NULL,
    device      INTEGER NOT NULL,
    reason      TEXT NOT NULL,
    times       INTEGER NOT NULL,
    last_at     INTEGER NOT NULL,
    PRIMARY KEY (message, account, device)
) STRICT, WITHOUT ROWID;

-- What an app is to be told, in order. See events.rs.
CREATE TABLE timeline (
    position    INTEGER PRIMARY KEY AUTOINCREMENT,
    kind        INTEGER NOT NULL,
    message     INTEGER REFERENCES messages,
    detail      TEXT                           -- of other kinds: JSON
) STRICT;
CREATE TABLE shown (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    position    INTEGER NOT NULL
) STRICT;
INSERT INTO shown VALUES (1, 0);

-- Messages of this device on their way to the service.
CREATE TABLE outbox (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    message      INTEGER NOT NULL UNIQUE REFERENCES messages,
    recipient    BLOB NOT NULL
) STRICT;
CREATE INDEX outbox_of_a_conversation ON outbox (recipient, id);

-- What each was encrypted to. A repetition sends these same bytes.
CREATE TABLE ciphertexts (
    entry        INTEGER NOT NULL REFERENCES outbox ON DELETE CASCADE,
    account      BLOB NOT NULL,
    device       INTEGER NOT NULL,
    registration INTEGER NOT NULL,
    ciphertext   BLOB NOT NULL,
    PRIMARY KEY (entry, account, device, registration)
) STRICT, WITHOUT ROWID;
