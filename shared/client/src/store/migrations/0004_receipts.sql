-- What the person wants; what others are to be told about their messages; what was read.

CREATE TABLE settings (
    one                 INTEGER PRIMARY KEY CHECK (one = 1),
    delivered_receipts  INTEGER NOT NULL DEFAULT 1,
    read_receipts       INTEGER NOT NULL DEFAULT 1
) STRICT;
INSERT INTO settings (one) VALUES (1);

-- Accounts that this person has to do with: wrote to, from whichever device, or let in.
CREATE TABLE contacts (
    account     BLOB NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;
INSERT INTO contacts SELECT DISTINCT conversation FROM messages WHERE own = 1;

-- Messages of which their senders are to be told how far they got. They leave together, as one receipt.
CREATE TABLE due_receipts (
    account     BLOB NOT NULL,                 -- of the sender
    stage       INTEGER NOT NULL,
    device      INTEGER NOT NULL,
    message     BLOB NOT NULL,
    due_at      INTEGER NOT NULL,
    PRIMARY KEY (account, stage, device, message)
) STRICT, WITHOUT ROWID;

-- Of messages that were received: whether the person read them.
ALTER TABLE messages ADD COLUMN read INTEGER NOT NULL DEFAULT 0;
UPDATE messages SET read = 1;
CREATE INDEX unread_messages ON messages (conversation, position) WHERE read = 0 AND own = 0;

-- Messages that another own device says were read, and that did not arrive here yet.
CREATE TABLE read_elsewhere (
    account     BLOB NOT NULL,
    device      INTEGER NOT NULL,
    message     BLOB NOT NULL,
    and_before  INTEGER NOT NULL,              -- 1: and all before it
    PRIMARY KEY (account, device, message)
) STRICT, WITHOUT ROWID;
