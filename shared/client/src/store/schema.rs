//! Tables and migrations. `PRAGMA user_version` counts the migrations a file has had.
//!
//! A migration that was released is never changed: add another.

use rusqlite::{Connection, TransactionBehavior};

use super::{StoreError, in_use};

/// Every migration, in order. The number of a file's version is how many of them it has had.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_one_message.sql"),
    include_str!("migrations/0002_accounts_and_devices.sql"),
    include_str!("migrations/0003_bodies.sql"),
    include_str!("migrations/0004_receipts.sql"),
    include_str!("migrations/0005_ask_again.sql"),
    include_str!("migrations/0006_presence.sql"),
    include_str!("migrations/0007_history.sql"),
    include_str!("migrations/0008_verified.sql"),
    include_str!("migrations/0009_push.sql"),
    include_str!("migrations/0010_ask_for.sql"),
    include_str!("migrations/0011_places.sql"),
];

/// Brings the file up to date, each migration in a transaction of its own.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    let found: u32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(in_use)?;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (version, migration) in (1_u32..).zip(MIGRATIONS).skip(found as usize) {
        let tx = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(in_use)?;
        tx.execute_batch(migration)?;
        tx.pragma_update(None, "user_version", version)?;
        tx.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_newer_version_is_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(
            migrate(&mut connection),
            Err(StoreError::Newer { found: 99, .. })
        ));
    }

    #[test]
    fn migrating_twice_changes_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        migrate(&mut connection).unwrap();
        let version: u32 = connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap();
        assert_eq!(version as usize, MIGRATIONS.len());
    }

    #[test]
    fn what_was_in_the_outbox_of_an_older_version_stays_there() {
        let mut connection = Connection::open_in_memory().unwrap();
        for migration in &MIGRATIONS[..2] {
            connection.execute_batch(migration).unwrap();
        }
        connection.pragma_update(None, "user_version", 2).unwrap();
        connection.pragma_update(None, "foreign_keys", "ON").unwrap();
        connection
            .execute_batch(
                "INSERT INTO peers (id, account, device, keys) VALUES (5, x'01', 1, x'02');
                 INSERT INTO messages VALUES (1, x'11', x'01', 1, x'03', 0, 70, 'hello', 1, 0, 2, NULL, 9, NULL);
                 INSERT INTO messages VALUES (2, x'12', x'01', 1, x'03', 0, 71, '', 1, 0, 2, NULL, NULL, NULL);
                 INSERT INTO outbox VALUES (3, 1, x'03', NULL, NULL);
                 INSERT INTO outbox VALUES (4, 2, x'03', 5, '\"overdue\"');
                 INSERT INTO ciphertexts VALUES (3, x'03', 1, 1, x'99');",
            )
            .unwrap();
        migrate(&mut connection).unwrap();
        let rows = |select: &str| -> Vec<String> {
            let mut select = connection.prepare(select).unwrap();
            let rows = select.query_map([], |row| row.get(0)).unwrap();
            rows.collect::<Result<_, _>>().unwrap()
        };
        let select = "SELECT concat_ws(' ', id, first, message, hex(name), made_at, hex(body), concerns)
                      FROM outbox ORDER BY id";
        assert_eq!(rows(select), ["3 0 1", "4 1 12 71 0202 5"]);
        assert_eq!(
            rows("SELECT concat(entry, hex(ciphertext)) FROM ciphertexts"),
            ["399"]
        );
        assert_eq!(rows("SELECT body FROM messages"), ["hello"]);
        assert!(rows("SELECT \"table\" FROM pragma_foreign_key_check").is_empty());
    }

    #[test]
    fn what_an_older_version_showed_keeps_its_order_above_the_room_for_a_history() {
        let mut connection = Connection::open_in_memory().unwrap();
        let before = MIGRATIONS
            .iter()
            .position(|migration| migration.contains("histories_given"));
        let before = before.unwrap();
        for migration in &MIGRATIONS[..before] {
            connection.execute_batch(migration).unwrap();
        }
        connection
            .pragma_update(None, "user_version", before as u32)
            .unwrap();
        connection
            .execute_batch(
                "INSERT INTO messages (message, account, device, conversation, sequence, sent_at, body, own, late, state)
                 VALUES (x'11', x'01', 1, x'03', 1, 70, 'one', 0, 0, 1), (x'12', x'01', 1, x'03', 2, 71, 'two', 0, 0, 1),
                        (x'13', x'01', 1, x'03', 4, 72, 'held', 0, 0, 1);
                 INSERT INTO timeline (kind, message) VALUES (1, 1), (1, 2);
                 UPDATE messages SET position = id WHERE id < 3;
                 UPDATE shown SET position = 1;",
            )
            .unwrap();
        migrate(&mut connection).unwrap();
        connection
            .execute("INSERT INTO timeline (kind) VALUES (2)", [])
            .unwrap();
        let numbers = |select: &str| -> Vec<Option<i64>> {
            let mut select = connection.prepare(select).unwrap();
            let rows = select.query_map([], |row| row.get(0)).unwrap();
            rows.collect::<Result<_, _>>().unwrap()
        };
        let above = |place: i64| Some((1_i64 << 32) + place);
        assert_eq!(
            numbers("SELECT position FROM timeline ORDER BY 1"),
            [above(1), above(2), above(3)]
        );
        let place = |place: i64| above(place).map(|above| above << 28);
        assert_eq!(
            numbers("SELECT position FROM messages ORDER BY id"),
            [place(1), place(2), None]
        );
        assert_eq!(numbers("SELECT position FROM shown"), [above(1)]);
    }

    #[test]
    fn a_new_store_begins_above_the_room_for_a_history() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        connection
            .execute("INSERT INTO timeline (kind) VALUES (2)", [])
            .unwrap();
        assert_eq!(connection.last_insert_rowid(), (1 << 32) + 1);
    }

    #[test]
    fn every_table_is_strict() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        let lax: i64 = connection
            .query_row(
                "SELECT count(*) FROM pragma_table_list
                 WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%' AND strict = 0",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(lax, 0);
    }
}
