-- Where this device is to be woken, as the app said last, and what the service knows of it.
CREATE TABLE push (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    address     TEXT,              -- platform and token; NULL: nowhere
    told_as     INTEGER,           -- the registration that the service was told for; NULL: not told yet
    told_at     INTEGER,           -- when, in milliseconds since 1970
    refused     TEXT               -- why the service does not take it, if it does not
) STRICT;
