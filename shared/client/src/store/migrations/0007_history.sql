-- Histories that one own device gives to another, and what the person wants on all devices.

-- Positions below 2³² are for messages from before this device was linked: they come before all it has itself.
UPDATE timeline SET position = position + 4294967296;
UPDATE messages SET position = position + 4294967296;
UPDATE shown SET position = position + 4294967296;
INSERT INTO sqlite_sequence (name, seq)
    SELECT 'timeline', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'timeline');
UPDATE sqlite_sequence SET seq = seq + 4294967296 WHERE name = 'timeline';

-- The latest history that this device offered to each other one.
CREATE TABLE histories_given (
    peer         INTEGER PRIMARY KEY REFERENCES peers ON DELETE CASCADE,
    history      BLOB NOT NULL UNIQUE,
    days         INTEGER NOT NULL,             -- 0: all
    since        INTEGER NOT NULL,             -- no message is older, by the time it was sent
    messages     INTEGER NOT NULL,             -- how many it had when it was offered
    stage        INTEGER NOT NULL,
    older_than   INTEGER NOT NULL,             -- a position: the next chunk is of messages below it;
    newer_than   INTEGER NOT NULL,             -- when there are none, of those above this one
    next_chunk   INTEGER NOT NULL,
    finished     INTEGER NOT NULL DEFAULT 0,   -- 1: the last chunk was made
    done         INTEGER NOT NULL DEFAULT 0,   -- messages that the other device has taken
    again        INTEGER NOT NULL DEFAULT 0,   -- 1: what is not taken is to be sent again
    reminded_at  INTEGER NOT NULL DEFAULT 0    -- when the other device was last asked where it is
) STRICT;

-- Chunks that were not taken yet, as they were made.
CREATE TABLE chunks_given (
    peer         INTEGER NOT NULL REFERENCES histories_given ON DELETE CASCADE,
    number       INTEGER NOT NULL,
    messages     INTEGER NOT NULL,             -- how many of the history, without those that came since
    name         BLOB NOT NULL,                -- the id it was sent under
    body         BLOB NOT NULL,
    PRIMARY KEY (peer, number)
) STRICT, WITHOUT ROWID;

-- The latest history that each other device offered to this one.
CREATE TABLE histories_taken (
    peer         INTEGER PRIMARY KEY REFERENCES peers ON DELETE CASCADE,
    history      BLOB NOT NULL UNIQUE,
    messages     INTEGER NOT NULL,
    stage        INTEGER NOT NULL,
    next_chunk   INTEGER NOT NULL DEFAULT 0,   -- all below it are stored
    done         INTEGER NOT NULL DEFAULT 0,   -- messages in those
    tell         INTEGER                       -- NULL, or the wish that the other device is to be told
) STRICT;

-- Chunks that came before an earlier one, as they came.
CREATE TABLE chunks_ahead (
    peer         INTEGER NOT NULL REFERENCES histories_taken ON DELETE CASCADE,
    number       INTEGER NOT NULL,
    body         BLOB NOT NULL,
    PRIMARY KEY (peer, number)
) STRICT, WITHOUT ROWID;

-- Own devices that are new here: they are to be told what the person wants and whom the person knows.
CREATE TABLE newcomers (
    peer         INTEGER PRIMARY KEY REFERENCES peers ON DELETE CASCADE
) STRICT;

-- When the receipts were set, on whichever device: the latest counts. 0: never.
ALTER TABLE settings ADD COLUMN receipts_set_at INTEGER NOT NULL DEFAULT 0;
