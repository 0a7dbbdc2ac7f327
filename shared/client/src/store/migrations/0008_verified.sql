-- The account keys whose safety number the person compared, on this device.
CREATE TABLE verified (
    account BLOB PRIMARY KEY,
    account_key BLOB NOT NULL
) STRICT, WITHOUT ROWID;
