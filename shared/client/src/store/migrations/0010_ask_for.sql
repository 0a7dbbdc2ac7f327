-- What could not be read and is asked for by its id.
ALTER TABLE dead_letters ADD COLUMN asked INTEGER;  -- NULL: it is not; 0: its sender is to be asked; 1: it was asked
CREATE INDEX dead_letters_to_ask ON dead_letters (account, device) WHERE asked = 0;

-- 1: the sessions with this device are to be reset as soon as the budget allows.
ALTER TABLE peers ADD COLUMN reset_owed INTEGER NOT NULL DEFAULT 0;
CREATE INDEX peers_owed_a_reset ON peers (id) WHERE reset_owed = 1;
