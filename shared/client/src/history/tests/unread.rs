//! Chunks that cannot be read, and receipts that come before their messages.

use waxwing_protocol::Content;

use super::*;
use crate::store::{directory, sessions as session_rows};

/// Something about a history that no version knows, from one own device to another.
fn unreadable(from: &mut Party, to: &Party) -> Carried {
    let (now, from_address) = (from.now, from.address());
    let (device, conversation) = (to.me.device, to.account().to_bytes());
    let (message, ciphertext) = from.write(|tx, rng| {
        let peer = directory::device(tx, device.address)?.unwrap().peer;
        let stored = session_rows::current(tx, peer)?.unwrap();
        let content = Content {
            sequence: directory::next_sequence(tx, device)?,
            sent_at_millis: now,
            conversation,
            body: Body::Nothing,
        };
        let mut plaintext = content.encode().unwrap();
        // The kind: that of a history, which is never empty.
        plaintext[1] = 7;
        let ciphertext = crate::sessions::encrypt(tx, rng, stored, &plaintext, now)?.unwrap();
        directory::take_sequence(tx, device)?;
        Ok((MessageId::new(now, rng), ciphertext))
    });
    Carried {
        to: device,
        envelope: waxwing_wire::Envelope {
            id: EnvelopeId {
                message,
                from: from_address,
            },
            ciphertext: waxwing_wire::Ciphertext::from_vec(ciphertext).unwrap(),
        },
    }
}

/// What a giving device says while its first chunk is one that cannot be read.
fn with_an_unreadable_chunk(phone: &mut Party, laptop: &Party) -> Vec<Carried> {
    let mut said = leave(phone);
    let chunks = said.iter().filter(|said| said.to == laptop.me.device).count();
    if chunks > 0 {
        said[0] = unreadable(phone, laptop);
    }
    said
}

#[test]
fn a_chunk_that_can_never_be_read_is_asked_for_so_often_and_then_the_history_ends() {
    let (mut phone, mut laptop, mut bob) = household(300);
    begin(&mut phone, &mut laptop, HistoryChoice::All);
    let mut rounds = 0;
    loop {
        phone.receive_all(&leave(&mut laptop));
        let said = with_an_unreadable_chunk(&mut phone, &laptop);
        if said.is_empty() {
            break;
        }
        rounds += 1;
        assert!(rounds <= MAX_UNREADABLE_CHUNKS, "without end");
        laptop.receive_all(&said);
        laptop.reopen();
        // Each connection asks for what is missing.
        ask(&mut laptop);
    }
    assert_eq!(rounds, MAX_UNREADABLE_CHUNKS);
    assert_eq!(ends(&laptop), [HistoryEnd::Unreadable]);
    assert_eq!(ends(&phone), [HistoryEnd::Stopped]);
    assert_eq!(
        (stage(&laptop).0, stage(&phone).0),
        (HistoryStage::Ended, HistoryStage::Ended)
    );
    assert!(!ask(&mut laptop), "nothing is asked for any more");
    // What is live goes on, and so does another history.
    let live = bob.send(account(1), "live");
    laptop.receive_all(&live);
    phone.receive_all(&live);
    assert_eq!(laptop.texts(), ["live"]);
    begin_again(&mut phone, &mut laptop);
    assert_eq!(seen(&laptop, account(2)), seen(&phone, account(2)));
}

#[test]
fn chunks_that_can_be_read_after_all_end_nothing() {
    let (mut phone, mut laptop, _) = household(900);
    begin(&mut phone, &mut laptop, HistoryChoice::All);
    // More in all than would end it in a row.
    for _ in 0..2 * MAX_UNREADABLE_CHUNKS {
        phone.receive_all(&leave(&mut laptop));
        let broken = unreadable(&mut phone, &laptop);
        laptop.receive_all(&[broken]);
        laptop.receive_all(&leave(&mut phone));
    }
    settle(&mut phone, &mut laptop);
    assert_eq!(ends(&laptop), [HistoryEnd::Complete]);
    assert_eq!(seen(&laptop, account(2)), seen(&phone, account(2)));
}

#[test]
fn what_cannot_be_read_of_somebody_else_ends_no_history() {
    let (mut phone, mut laptop, mut bob) = household(300);
    begin(&mut phone, &mut laptop, HistoryChoice::All);
    for _ in 0..2 * MAX_UNREADABLE_CHUNKS {
        let broken = unreadable(&mut bob, &laptop);
        laptop.receive_all(&[broken]);
    }
    settle(&mut phone, &mut laptop);
    assert_eq!(ends(&laptop), [HistoryEnd::Complete]);
}

fn own_states(party: &Party) -> Vec<MessageState> {
    let own = shown(party, account(2)).into_iter().filter(|message| message.own);
    own.map(|message| message.state).collect()
}

#[test]
fn a_receipt_that_comes_before_its_message_is_kept_for_it() {
    let (mut phone, mut laptop, mut bob) = household(30);
    // The receipts that are due at Bob's reach the laptop alone, which has nothing yet.
    bob.now += 60_000;
    let receipts = bob.leave();
    assert!(!receipts.is_empty());
    laptop.receive_all(&receipts);
    laptop.reopen();
    begin_again(&mut phone, &mut laptop);
    assert_eq!(own_states(&phone), [MessageState::Accepted; 20]);
    assert_eq!(own_states(&laptop), [MessageState::Delivered; 20]);
    let left = laptop.write(|tx, _| {
        Ok(tx.query_row("SELECT count(*) FROM early_receipts", [], |row| {
            row.get::<_, u32>(0)
        })?)
    });
    assert_eq!(left, 0);
}

#[test]
fn a_receipt_that_comes_before_the_copy_of_another_own_device_is_kept_for_it() {
    let (mut phone, mut laptop, mut bob) = household(1);
    let sent = phone.send(account(2), "hello");
    bob.receive_all(&sent);
    bob.now += 60_000;
    laptop.receive_all(&bob.leave());
    laptop.receive_all(&sent);
    assert_eq!(own_states(&laptop), [MessageState::Delivered]);
}
