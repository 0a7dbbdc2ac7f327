-- Room between any two messages for one that a history brings, and receipts that come before their messages.

-- A message's place is its position in the timeline times 2²⁸. Twice, since each place is there once at every moment.
UPDATE messages SET position = -268435456 * position;
UPDATE messages SET position = -position;
UPDATE histories_given SET older_than = 268435456 * older_than, newer_than = 268435456 * newer_than;

-- Where the message stands that was taken last.
ALTER TABLE histories_taken ADD COLUMN place INTEGER;
-- How many chunks could not be read since one was taken.
ALTER TABLE histories_taken ADD COLUMN unreadable INTEGER NOT NULL DEFAULT 0;

-- The same of each conversation, while a history is taken.
CREATE TABLE history_places (
    peer          INTEGER NOT NULL REFERENCES histories_taken ON DELETE CASCADE,
    conversation  BLOB NOT NULL,
    place         INTEGER NOT NULL,
    PRIMARY KEY (peer, conversation)
) STRICT, WITHOUT ROWID;

-- Receipts for messages of this account that are not here yet. The oldest are forgotten first.
CREATE TABLE early_receipts (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation  BLOB NOT NULL,
    device        INTEGER NOT NULL,
    message       BLOB NOT NULL,
    state         INTEGER NOT NULL,            -- as in messages
    UNIQUE (conversation, device, message)
) STRICT;
CREATE INDEX early_receipts_by_age ON early_receipts (conversation, id);
