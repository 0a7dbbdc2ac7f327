-- 1: contacts may see that this device is there. Nobody may until the person says so.
ALTER TABLE settings ADD COLUMN presence INTEGER NOT NULL DEFAULT 0;
