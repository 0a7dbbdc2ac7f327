-- Accounts get a key that signs their list of devices, prekeys get a post-quantum half. A device of the first
-- version has neither, and its sessions cannot be read any more: it joins anew. Its messages stay.

DELETE FROM ciphertexts;
DROP TABLE sessions;
DELETE FROM one_time_prekeys;
DROP TABLE answered_handshakes;
DELETE FROM signed_prekeys;
DROP TABLE devices;
DROP TABLE accounts;
DROP TABLE this_device;

-- Who this device is. One row, from the moment keys are made.
CREATE TABLE this_device (
    one                   INTEGER PRIMARY KEY CHECK (one = 1),
    account               BLOB NOT NULL,
    device                INTEGER,             -- unknown until the service answered
    registration          INTEGER NOT NULL,
    signing_key           BLOB NOT NULL,       -- private
    identity_key          BLOB NOT NULL,       -- private
    account_key           BLOB,                -- private; only on the device that registered the account
    next_list             TEXT,                -- the list of devices that was signed last, as it was sent
    next_signed_prekey    INTEGER NOT NULL,    -- ids rise and are never used twice, whatever is deleted
    next_one_time_prekey  INTEGER NOT NULL,
    keys_checked_at       INTEGER NOT NULL,    -- when the service was last asked what it publishes of this device
    removed               TEXT                 -- why this device is not in its account any more
) STRICT;

-- A registration under way. One row, from the request for a code until the device is in.
CREATE TABLE joining (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    phone       TEXT NOT NULL,
    ticket      BLOB NOT NULL,                 -- secret
    confirmed   INTEGER NOT NULL,              -- 1: the service took the code
    account     BLOB,                          -- of the account that the number has already
    version     INTEGER,                       -- of its list of devices
    salt        BLOB,                          -- of its lock, if it has one
    proof       BLOB,                          -- secret; what PIN and salt gave
    list        TEXT                           -- as it is registered with
) STRICT;

-- A link under way, on the new device. One row, from the scan until the device is in.
CREATE TABLE linking (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    code        TEXT NOT NULL,                 -- secret
    sealed      BLOB NOT NULL                  -- the request as it is sent
) STRICT;

-- The offers of places in the account, on the device that made them.
CREATE TABLE offers (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    token        BLOB NOT NULL UNIQUE,         -- secret
    code         TEXT NOT NULL,                -- secret
    device       INTEGER,                      -- of who took it up: the place,
    registration INTEGER,                      -- the registration,
    keys         BLOB,                         -- signing key and identity key,
    name         TEXT                          -- and what it calls itself
) STRICT;

-- Accounts whose devices matter here, each with the newest list that its owner signed.
CREATE TABLE accounts (
    account           BLOB NOT NULL PRIMARY KEY,
    stale             INTEGER NOT NULL,        -- 1: ask the service before sending
    checked_at        INTEGER NOT NULL,        -- when the service last gave a list
    list              BLOB,                    -- as it was signed; NULL: none was seen yet
    signature         BLOB,
    offered           BLOB,                    -- a list under another account key, which waits for the app's answer
    offered_signature BLOB
) STRICT, WITHOUT ROWID;

-- One row is one registration of a device that was ever on a list. At most one of a device is listed; those before
-- it are remembered, so that a channel goes on where it was.
CREATE TABLE devices (
    account       BLOB NOT NULL REFERENCES accounts ON DELETE CASCADE,
    device        INTEGER NOT NULL,
    registration  INTEGER NOT NULL,
    listed        INTEGER NOT NULL,
    peer          INTEGER NOT NULL REFERENCES peers,
    next_sequence INTEGER NOT NULL DEFAULT 1,  -- of the channel to it
    PRIMARY KEY (account, device, registration)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX listed_device ON devices (account, device) WHERE listed = 1;

-- Handshakes without a one-time prekey that were answered: a second one like it is a replay.
CREATE TABLE answered_openings (
    signed_prekey  INTEGER NOT NULL REFERENCES signed_prekeys ON DELETE CASCADE,
    digest         BLOB NOT NULL,
    PRIMARY KEY (signed_prekey, digest)
) STRICT, WITHOUT ROWID;

-- NULL, or the life of the sending device, which is on no list of its account that is trusted here.
ALTER TABLE messages ADD COLUMN unconfirmed INTEGER REFERENCES peers;
CREATE INDEX unconfirmed_messages ON messages (unconfirmed) WHERE unconfirmed IS NOT NULL;

-- What the protocol's rules about sessions need to know stands beside each.
CREATE TABLE sessions (
    id            INTEGER PRIMARY KEY,
    peer          INTEGER NOT NULL REFERENCES peers ON DELETE CASCADE,
    session       BLOB NOT NULL,               -- the protocol's id of it, the same on both sides
    base_key      BLOB NOT NULL,               -- of the handshake that opened it
    state         BLOB NOT NULL,               -- private
    confirmed     INTEGER NOT NULL,            -- 1: both sides have it
    retired_at    INTEGER,                     -- since when it only decrypts
    used_at       INTEGER NOT NULL,
    UNIQUE (peer, base_key)
) STRICT;

-- Digests of the latest contents of a device, and whether it was told that the device was cloned.
ALTER TABLE peers ADD COLUMN witness BLOB NOT NULL DEFAULT (x'0000000000000000');
ALTER TABLE peers ADD COLUMN cloned INTEGER NOT NULL DEFAULT 0;

-- When sessions with a device were reset, and the protocol's id of the session in which this device said so last.
ALTER TABLE peers ADD COLUMN resets_made BLOB NOT NULL DEFAULT (x'');
ALTER TABLE peers ADD COLUMN resets_taken BLOB NOT NULL DEFAULT (x'');
ALTER TABLE peers ADD COLUMN reset_in BLOB;

-- NULL, or the device whose sessions an entry resets, and why. Its message has no text and no place.
ALTER TABLE outbox ADD COLUMN reset_of INTEGER REFERENCES peers;
ALTER TABLE outbox ADD COLUMN reset_reason TEXT;
