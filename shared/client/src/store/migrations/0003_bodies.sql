-- The outbox carries bodies of every kind: those that are not for people to read have no row among the messages.

CREATE TABLE new_outbox (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    recipient    BLOB NOT NULL,
    first        INTEGER NOT NULL,               -- 1: it leaves before all else to the recipient
    message      INTEGER UNIQUE REFERENCES messages,  -- NULL: a body of another kind,
    name         BLOB,                           -- with the id it is sent under,
    made_at      INTEGER,
    body         BLOB,                           -- kind and body,
    concerns     INTEGER REFERENCES peers,       -- and the device it is for; the others get nothing. NULL: for all
    CHECK ((message IS NULL) = (name IS NOT NULL AND made_at IS NOT NULL AND body IS NOT NULL))
) STRICT;
INSERT INTO new_outbox (id, recipient, first, message, name, made_at, body, concerns)
    SELECT outbox.id, recipient, reset_of IS NOT NULL,
           CASE WHEN reset_of IS NULL THEN outbox.message END,
           CASE WHEN reset_of IS NOT NULL THEN messages.message END,
           CASE WHEN reset_of IS NOT NULL THEN sent_at END,
           CASE WHEN reset_of IS NOT NULL THEN iif(reset_reason = '"unreadable"', x'0201', x'0202') END,
           reset_of
    FROM outbox JOIN messages ON messages.id = outbox.message;

CREATE TABLE new_ciphertexts (
    entry        INTEGER NOT NULL REFERENCES new_outbox ON DELETE CASCADE,
    account      BLOB NOT NULL,
    device       INTEGER NOT NULL,
    registration INTEGER NOT NULL,
    ciphertext   BLOB NOT NULL,
    PRIMARY KEY (entry, account, device, registration)
) STRICT, WITHOUT ROWID;
INSERT INTO new_ciphertexts SELECT * FROM ciphertexts;

CREATE TEMP TABLE resets AS SELECT message FROM outbox WHERE reset_of IS NOT NULL;
DROP TABLE ciphertexts;
DROP TABLE outbox;
DELETE FROM messages WHERE id IN (SELECT message FROM resets);
DROP TABLE resets;
ALTER TABLE new_outbox RENAME TO outbox;
ALTER TABLE new_ciphertexts RENAME TO ciphertexts;
CREATE INDEX outbox_of_a_conversation ON outbox (recipient, id);
