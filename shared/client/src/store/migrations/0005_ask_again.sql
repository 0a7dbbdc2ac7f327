-- What was sent to each device, so that it can be sent again, and what is missing of what devices sent.

-- The latest messages of each channel. Those between devices are named only: they are not sent again.
CREATE TABLE sent (
    peer        INTEGER NOT NULL REFERENCES peers ON DELETE CASCADE,
    sequence    INTEGER NOT NULL,
    message     INTEGER REFERENCES messages,
    PRIMARY KEY (peer, sequence)
) STRICT, WITHOUT ROWID;

-- Sequence numbers that were reported as a gap and may still come.
CREATE TABLE missing (
    peer        INTEGER NOT NULL REFERENCES peers ON DELETE CASCADE,
    sequence    INTEGER NOT NULL,
    asked       INTEGER NOT NULL,              -- 1: its sender was asked
    PRIMARY KEY (peer, sequence)
) STRICT, WITHOUT ROWID;

-- When a device was asked to send again, and when it asked.
CREATE TABLE asks (
    peer        INTEGER NOT NULL REFERENCES peers ON DELETE CASCADE,
    ours        INTEGER NOT NULL,              -- 1: this device asked
    at          INTEGER NOT NULL
) STRICT;
CREATE INDEX asks_of_a_peer ON asks (peer, ours, at);
