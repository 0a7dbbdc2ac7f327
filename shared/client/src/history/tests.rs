mod order;
mod unread;

use proptest::prelude::*;
use waxwing_protocol::content::{Chunk, PastMessage, PastState, Wish};

use super::*;
use crate::{
    events::{Event, FailureReason},
    messages::{MessageState, StoredMessage},
    outbox as outgoing_messages,
    store::{messages, outbox, settings},
    testing::{Carried, Party, account},
    under_way::UnderWay,
};

const DAY: u64 = 24 * 60 * 60 * 1000;

/// A phone with so many messages of a conversation with Bob, every third received, the others sent and accepted; and a
/// laptop that is linked only then. All know each other.
fn household(count: usize) -> (Party, Party, Party) {
    let mut phone = Party::on_disk(account(1), 1, 11);
    let mut bob = Party::new(account(2), 1, 13);
    phone.meet(&mut bob);
    bob.meet(&mut phone);
    for number in 0..count {
        let text = format!("message {number}");
        if number % 3 == 0 {
            phone.receive_all(&bob.send(account(1), &text));
        } else {
            bob.receive_all(&phone.send(account(2), &text));
        }
    }
    // Receipts have nothing to do with it.
    phone.write(|tx, _| Ok(tx.execute("DELETE FROM due_receipts", [])?));
    let mut laptop = Party::on_disk(account(1), 2, 12);
    let (of_phone, of_laptop, of_bob) = (phone.bundle(), laptop.bundle(), bob.bundle());
    phone.claim(account(1), &[of_laptop]);
    laptop.claim(account(1), &[of_phone]);
    laptop.claim(account(2), &[of_bob]);
    let (of_phone, of_laptop) = (phone.bundle(), laptop.bundle());
    bob.claim(account(1), &[of_phone, of_laptop]);
    laptop.now = phone.now;
    laptop.receive_all(&leave(&mut phone));
    (phone, laptop, bob)
}

/// It has connected anew and read all that waited.
fn ask(party: &mut Party) -> bool {
    let now = party.now;
    party.write(|tx, rng| ask_on(tx, rng, now))
}

/// What leaves now, each envelope.
fn leave(party: &mut Party) -> Vec<Carried> {
    let outgoing = party.prepare(UnderWay::default()).outgoing;
    let mut carried = Vec::new();
    for outgoing in outgoing {
        assert!(party.accept(&outgoing));
        carried.extend(party.carry(&outgoing));
    }
    carried
}

/// All that the two have to say to each other, until they have nothing more. Returns how many envelopes it took.
fn settle(one: &mut Party, other: &mut Party) -> usize {
    let mut count = 0;
    loop {
        let (of_one, of_other) = (leave(one), leave(other));
        if of_one.is_empty() && of_other.is_empty() {
            return count;
        }
        count += of_one.len() + of_other.len();
        other.receive_all(&of_one);
        one.receive_all(&of_other);
    }
}

fn offer(giver: &mut Party, device: u64, choice: HistoryChoice) -> HistoryId {
    let to = DeviceAddress {
        account: giver.account(),
        device: DeviceId::new(device).unwrap(),
    };
    let now = giver.now;
    giver.write(|tx, rng| Ok(giving::offer(tx, rng, to, choice, now).unwrap()))
}

fn take(taker: &mut Party, history: HistoryId) {
    taker.write(|tx, _| {
        taking::answer(tx, history).unwrap();
        Ok(())
    });
}

/// Offered, told, and taken.
fn begin(giver: &mut Party, taker: &mut Party, choice: HistoryChoice) -> HistoryId {
    let history = offer(giver, taker.address().device.into(), choice);
    taker.receive_all(&leave(giver));
    take(taker, history);
    history
}

fn shown(party: &Party, with: AccountId) -> Vec<StoredMessage> {
    party
        .store
        .read_now(|tx| messages::of_conversation(tx, with))
        .unwrap()
}

/// What a person sees of each message.
fn seen(party: &Party, with: AccountId) -> Vec<(String, bool, MessageId)> {
    let shown = shown(party, with).into_iter();
    shown
        .map(|message| (message.text, message.own, message.id))
        .collect()
}

fn stage(party: &Party) -> (HistoryStage, u64, u64) {
    let all = party.store.read_now(all).unwrap();
    let [state] = all[..] else { panic!("{all:?}") };
    (state.stage, state.done, state.of)
}

fn ends(party: &Party) -> Vec<HistoryEnd> {
    let end = |event| match event {
        Event::HistoryEnded { end, .. } => Some(end),
        _ => None,
    };
    party.told().into_iter().filter_map(end).collect()
}

#[test]
fn all_of_a_history_comes_in_its_order_with_its_ids_and_nobody_is_told_of_each_message() {
    let (mut phone, mut laptop, _) = household(300);
    let told = laptop.told().len();
    let history = begin(&mut phone, &mut laptop, HistoryChoice::All);
    let offered = Event::HistoryOffered {
        history,
        device: phone.address().device,
        messages: 300,
    };
    assert_eq!(laptop.told()[told..], [offered]);
    settle(&mut phone, &mut laptop);
    assert_eq!(seen(&laptop, account(2)), seen(&phone, account(2)));
    assert_eq!(seen(&laptop, account(2)).len(), 300);
    assert_eq!(
        (stage(&phone), stage(&laptop)),
        (
            (HistoryStage::Complete, 300, 300),
            (HistoryStage::Complete, 300, 300)
        )
    );
    assert_eq!(
        (ends(&phone), ends(&laptop)),
        (vec![HistoryEnd::Complete], vec![HistoryEnd::Complete])
    );
    assert!(laptop.texts().is_empty(), "told one by one");
    let contacts = laptop.store.read_now(settings::contacts).unwrap();
    assert_eq!(contacts, [account(2)]);
}

#[test]
fn states_what_was_read_and_what_is_not_confirmed_come_with_the_messages() {
    let (mut phone, mut laptop, bob) = household(12);
    let states = [
        MessageState::Delivered,
        MessageState::Read,
        MessageState::Failed(FailureReason::UnknownAccount),
        MessageState::Sent,
    ];
    let own: Vec<_> = shown(&phone, account(2))
        .into_iter()
        .filter(|message| message.own)
        .collect();
    for (message, state) in own.iter().zip(states) {
        phone.write(|tx, _| {
            let row = messages::find(tx, message.from, message.id)?.unwrap();
            messages::set_state(tx, row, state)
        });
    }
    phone.write(|tx, _| messages::mark_read(tx, account(2), own[3].position));
    // One of a device that nobody signed.
    let mut ghost = Party::new(account(2), 7, 99);
    let bundle = phone.bundle();
    ghost.claim(account(1), &[bundle]);
    ghost.claim(account(2), &[]);
    phone.receive_all(&ghost.send(account(1), "from a ghost"));
    let unread = |party: &Party| party.store.read_now(messages::conversations).unwrap()[0].unread;

    begin(&mut phone, &mut laptop, HistoryChoice::All);
    settle(&mut phone, &mut laptop);
    let of = |party: &Party| -> Vec<_> {
        let shown = shown(party, account(2)).into_iter();
        shown
            .map(|message| (message.id, message.state, message.unconfirmed))
            .collect()
    };
    let mut expected = of(&phone);
    for (_, state, _) in &mut expected {
        if *state == MessageState::Sent {
            *state = MessageState::Received;
        }
    }
    assert_eq!(of(&laptop), expected);
    assert_eq!((unread(&phone), unread(&laptop)), (3, 3));
    assert!(expected.last().unwrap().2, "the ghost's is not confirmed");
    // As soon as its keys are on a list it is.
    laptop.list(account(2), &[bob.published(), ghost.published()]);
    assert!(!shown(&laptop, account(2)).last().unwrap().unconfirmed);
}

#[test]
fn of_the_last_days_only_what_was_sent_in_them_comes() {
    let (mut phone, mut laptop, _) = household(6);
    phone.write(|tx, _| Ok(tx.execute("UPDATE messages SET sent_at = sent_at - ?1", [10 * DAY])?));
    drop(phone.send(account(2), "new"));
    begin(&mut phone, &mut laptop, HistoryChoice::Days(7));
    settle(&mut phone, &mut laptop);
    assert_eq!(seen(&laptop, account(2)).len(), 1);
    // And if the person wants all of it later, it comes before that, and that is not there twice.
    phone.receive_all(&leave(&mut laptop));
    begin_again(&mut phone, &mut laptop);
    assert_eq!(seen(&laptop, account(2)), seen(&phone, account(2)));
}

fn begin_again(phone: &mut Party, laptop: &mut Party) {
    begin(phone, laptop, HistoryChoice::All);
    settle(phone, laptop);
}

#[test]
fn what_came_live_and_with_the_history_is_there_once_and_behind_it() {
    let (mut phone, mut laptop, mut bob) = household(9);
    let live = bob.send(account(1), "live");
    laptop.receive_all(&live);
    phone.receive_all(&live);
    begin(&mut phone, &mut laptop, HistoryChoice::All);
    settle(&mut phone, &mut laptop);
    assert_eq!(seen(&laptop, account(2)), seen(&phone, account(2)));
    // What came with the history and comes live later, as well.
    let sent = bob.send(account(1), "first with the history");
    phone.receive_all(&sent);
    begin_again(&mut phone, &mut laptop);
    laptop.receive_all(&sent);
    assert_eq!(seen(&laptop, account(2)).len(), seen(&phone, account(2)).len());
    assert_eq!(laptop.texts(), ["live"]);
}

#[test]
fn what_comes_to_the_giving_device_alone_while_it_gives_comes_last_and_is_told() {
    let (mut phone, mut laptop, mut bob) = household(200);
    begin(&mut phone, &mut laptop, HistoryChoice::All);
    // It was encrypted before the laptop was in.
    let sent = bob.send(account(1), "on its way for long");
    let for_phone: Vec<_> = sent
        .into_iter()
        .filter(|sent| sent.to == phone.me.device)
        .collect();
    phone.receive_all(&for_phone);
    settle(&mut phone, &mut laptop);
    assert_eq!(seen(&laptop, account(2)), seen(&phone, account(2)));
    assert_eq!(laptop.texts(), ["on its way for long"]);
    assert_eq!(stage(&laptop), (HistoryStage::Complete, 200, 200));
}

#[test]
fn few_chunks_are_under_way_and_whatever_else_there_is_to_say_goes_first() {
    let (mut phone, mut laptop, _) = household(1_000);
    begin(&mut phone, &mut laptop, HistoryChoice::All);
    phone.receive_all(&leave(&mut laptop));
    phone.write(|tx, rng| leave_history(tx, rng, 0));
    let me = phone.address();
    let waiting = phone.write(|tx, _| outbox::entries_to(tx, account(1), None));
    assert_eq!(waiting.len() as u32, CHUNKS_UNDER_WAY);
    let now = phone.now;
    phone.write(|tx, rng| outgoing_messages::append(tx, rng, me, account(1), "note to self", now));
    let waiting = phone.write(|tx, _| outbox::entries_to(tx, account(1), Some(1)));
    assert_eq!(waiting[0].body, Body::Text("note to self".to_owned()));
    // Nothing more leaves before something was taken.
    let first = leave(&mut phone);
    assert_eq!(leave(&mut phone).len(), 0);
    laptop.receive_all(&first[..2]);
    let said = leave(&mut laptop);
    assert_eq!(said.len(), 1);
    phone.receive_all(&said);
    assert_eq!(leave(&mut phone).len(), 1);
}

use super::leave as leave_history;

#[test]
fn a_chunk_that_comes_before_an_earlier_one_waits_for_it() {
    let (mut phone, mut laptop, _) = household(300);
    begin(&mut phone, &mut laptop, HistoryChoice::All);
    phone.receive_all(&leave(&mut laptop));
    let mut chunks = leave(&mut phone);
    chunks.reverse();
    laptop.receive_all(&chunks[..2]);
    assert_eq!(stage(&laptop), (HistoryStage::UnderWay, 0, 300));
    laptop.reopen();
    laptop.receive_all(&chunks);
    settle(&mut phone, &mut laptop);
    assert_eq!(seen(&laptop, account(2)), seen(&phone, account(2)));
}

#[test]
fn a_lost_chunk_and_a_lost_answer_are_made_up_for() {
    let (mut phone, mut laptop, _) = household(400);
    begin(&mut phone, &mut laptop, HistoryChoice::All);
    phone.receive_all(&leave(&mut laptop));
    // Lost, all three.
    drop(leave(&mut phone));
    laptop.reopen();
    phone.reopen();
    assert!(ask(&mut laptop));
    phone.receive_all(&leave(&mut laptop));
    laptop.receive_all(&leave(&mut phone));
    // The answer is lost; what is behind it shows a gap.
    drop(leave(&mut laptop));
    assert!(leave(&mut phone).is_empty());
    let (from, now) = (laptop.address(), laptop.now);
    laptop.write(|tx, rng| outgoing_messages::append(tx, rng, from, account(1), "note", now));
    phone.receive_all(&leave(&mut laptop));
    phone.skip_gaps(0);
    settle(&mut phone, &mut laptop);
    laptop.skip_gaps(0);
    settle(&mut phone, &mut laptop);
    assert_eq!(seen(&laptop, account(2)), seen(&phone, account(2)));
    assert_eq!(stage(&laptop).0, HistoryStage::Complete);
    assert_eq!(stage(&phone).0, HistoryStage::Complete);
}

#[test]
fn the_same_offer_again_is_the_same_history_and_another_one_takes_its_place() {
    let (mut phone, mut laptop, _) = household(300);
    let first = offer(&mut phone, 2, HistoryChoice::All);
    assert_eq!(offer(&mut phone, 2, HistoryChoice::All), first);
    let offers = leave(&mut phone);
    assert_eq!(offers.len(), 2);
    laptop.receive_all(&offers);
    let told = |party: &Party| {
        let offered = |event: &Event| matches!(event, Event::HistoryOffered { .. });
        party.told().iter().filter(|event| offered(event)).count()
    };
    assert_eq!(told(&laptop), 1);
    take(&mut laptop, first);
    take(&mut laptop, first);
    phone.receive_all(&leave(&mut laptop));
    laptop.receive_all(&leave(&mut phone));
    assert_eq!(offer(&mut phone, 2, HistoryChoice::All), first, "under way");
    let second = offer(&mut phone, 2, HistoryChoice::Days(3));
    assert_ne!(second, first);
    settle(&mut phone, &mut laptop);
    assert_eq!(told(&laptop), 2);
    assert_eq!(stage(&laptop).0, HistoryStage::Offered);
    take(&mut laptop, second);
    settle(&mut phone, &mut laptop);
    assert_eq!(seen(&laptop, account(2)), seen(&phone, account(2)));
}

#[test]
fn a_history_that_is_declined_stopped_or_withdrawn_ends_on_both_sides() {
    let (mut phone, mut laptop, _) = household(300);
    let history = offer(&mut phone, 2, HistoryChoice::All);
    laptop.receive_all(&leave(&mut phone));
    assert!(laptop.write(|tx, _| taking::decline(tx, history)));
    settle(&mut phone, &mut laptop);
    assert_eq!((ends(&phone), ends(&laptop)), (vec![HistoryEnd::Stopped], vec![]));

    let history = begin(&mut phone, &mut laptop, HistoryChoice::All);
    phone.receive_all(&leave(&mut laptop));
    laptop.receive_all(&leave(&mut phone));
    let now = phone.now;
    assert!(phone.write(|tx, rng| giving::withdraw(tx, rng, history, now)));
    settle(&mut phone, &mut laptop);
    assert_eq!(ends(&laptop), [HistoryEnd::Stopped]);
    assert!(!seen(&laptop, account(2)).is_empty(), "what was taken stays");
    assert!(!laptop.write(|tx, _| taking::decline(tx, history)), "it is over");
}

#[test]
fn that_the_giving_device_is_gone_is_told_and_what_was_taken_stays() {
    let (mut phone, mut laptop, _) = household(300);
    begin(&mut phone, &mut laptop, HistoryChoice::All);
    phone.receive_all(&leave(&mut laptop));
    laptop.receive_all(&leave(&mut phone));
    laptop.list(account(1), &[]);
    assert_eq!(ends(&laptop), [HistoryEnd::DeviceGone]);
    assert_eq!(stage(&laptop).0, HistoryStage::Ended);
    assert!(!seen(&laptop, account(2)).is_empty());
    phone.list(account(1), &[]);
    assert_eq!(ends(&phone), [HistoryEnd::DeviceGone]);
}

/// A body from one device to another, as a dishonest or broken client would send it.
fn send_body(from: &mut Party, to: AccountId, matter: HistoryMatter, history: HistoryId) -> Vec<Carried> {
    let now = from.now;
    from.write(|tx, rng| {
        let control = Control {
            message: MessageId::new(now, rng),
            recipient: to,
            made_at_millis: now,
            body: Body::History(History {
                history: history.to_bytes(),
                matter,
            }),
            concerns: None,
        };
        outbox::append_control(tx, &control)
    });
    leave(from)
}

fn forged(own: bool, conversation: [u8; 16]) -> HistoryMatter {
    HistoryMatter::Chunk(Chunk {
        number: 0,
        last: false,
        newer: false,
        messages: vec![PastMessage {
            message: MessageId::new(1, &mut crate::clock::rng()).to_bytes(),
            device: 1,
            own,
            conversation,
            sent_at_millis: 1,
            late: false,
            read: false,
            state: PastState::Received,
            unconfirmed: None,
            text: "never written".to_owned(),
        }],
    })
}

fn reasons(party: &Party) -> Vec<UndecryptableReason> {
    let reason = |event| match event {
        Event::Undecryptable { reason, .. } => Some(reason),
        _ => None,
    };
    party.told().into_iter().filter_map(reason).collect()
}

/// X40.
#[test]
fn x40_a_chunk_of_a_contact_is_refused_with_its_reason_and_nothing_of_it_is_stored() {
    let (mut phone, mut laptop, mut bob) = household(3);
    let history = begin(&mut phone, &mut laptop, HistoryChoice::All);
    let sent = send_body(&mut bob, account(1), forged(true, account(2).to_bytes()), history);
    laptop.receive_all(&sent);
    laptop.receive_all(&sent);
    assert_eq!(reasons(&laptop), [UndecryptableReason::OwnDevicesOnly]);
    assert!(seen(&laptop, account(2)).is_empty());
    settle(&mut phone, &mut laptop);
    assert_eq!(seen(&laptop, account(2)).len(), 3);
}

#[test]
fn a_chunk_that_nobody_asked_for_is_passed_over() {
    let (mut phone, mut laptop, _) = household(0);
    let history = offer(&mut phone, 2, HistoryChoice::All);
    laptop.receive_all(&leave(&mut phone));
    let forged = || forged(true, account(2).to_bytes());
    laptop.receive_all(&send_body(&mut phone, account(1), forged(), history));
    laptop.receive_all(&send_body(
        &mut phone,
        account(1),
        forged(),
        HistoryId::new([7; 16]),
    ));
    assert!(seen(&laptop, account(2)).is_empty());
}

#[test]
fn a_chunk_that_cannot_be_read_is_told_once_and_holds_up_neither_the_history_nor_what_is_live() {
    let (mut phone, mut laptop, mut bob) = household(100);
    let history = begin(&mut phone, &mut laptop, HistoryChoice::All);
    phone.receive_all(&leave(&mut laptop));
    let chunks = leave(&mut phone);
    assert_eq!(chunks.len(), 3);
    // The first, of an account that is none.
    let broken = send_body(&mut phone, account(1), forged(true, [0xFF; 16]), history);
    laptop.receive_all(&broken);
    laptop.receive_all(&broken);
    assert_eq!(reasons(&laptop), [UndecryptableReason::UnknownContent]);
    laptop.receive_all(&bob.send(account(1), "live"));
    assert_eq!(laptop.texts(), ["live"]);
    laptop.receive_all(&chunks[1..]);
    settle(&mut phone, &mut laptop);
    assert_eq!(stage(&laptop).0, HistoryStage::Complete);
    assert_eq!(seen(&laptop, account(2)).len(), 37);
}

#[test]
fn a_wish_that_cannot_be_is_passed_over() {
    let (mut phone, mut laptop, _) = household(100);
    let history = begin(&mut phone, &mut laptop, HistoryChoice::All);
    let next = HistoryMatter::Taken {
        next: 99,
        wish: Wish::More,
    };
    phone.receive_all(&send_body(&mut laptop, account(1), next, history));
    settle(&mut phone, &mut laptop);
    assert_eq!(seen(&laptop, account(2)), seen(&phone, account(2)));
}

#[test]
fn the_longest_texts_fit_chunks_and_come() {
    let (mut phone, mut laptop, _) = household(0);
    let longest = "ä".repeat(crate::MAX_TEXT_BYTES / 2);
    for _ in 0..5 {
        drop(phone.send(account(2), &longest));
    }
    begin(&mut phone, &mut laptop, HistoryChoice::All);
    settle(&mut phone, &mut laptop);
    assert_eq!(seen(&laptop, account(2)), seen(&phone, account(2)));
    assert_eq!(seen(&laptop, account(2)).len(), 5);
}

#[test]
fn a_device_that_took_a_history_can_give_it_on() {
    let (mut phone, mut laptop, _) = household(30);
    begin(&mut phone, &mut laptop, HistoryChoice::All);
    settle(&mut phone, &mut laptop);
    phone.write(|tx, _| {
        tx.execute_batch("DELETE FROM outbox; DELETE FROM timeline; DELETE FROM sent; DELETE FROM messages")?;
        Ok(())
    });
    let before = seen(&laptop, account(2));
    begin(&mut laptop, &mut phone, HistoryChoice::All);
    settle(&mut phone, &mut laptop);
    assert_eq!(seen(&phone, account(2)), before);
}

/// What can happen between the two.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// What a side has to say leaves, and arrives.
    Arrives(bool),
    /// It leaves, and is lost.
    Lost(bool),
    /// It arrives twice, the second time the other way round.
    Twice(bool),
    /// A side crashes and comes back.
    Crash(bool),
    /// The person offers again.
    OfferAgain,
    /// Somebody writes to both.
    Live,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any::<bool>().prop_map(Step::Arrives),
        1 => any::<bool>().prop_map(Step::Lost),
        2 => any::<bool>().prop_map(Step::Twice),
        1 => any::<bool>().prop_map(Step::Crash),
        1 => Just(Step::OfferAgain),
        1 => Just(Step::Live),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        // Each is a life of two devices with hundreds of real messages: few of them, which the environment can raise.
        cases: ProptestConfig::default().cases / 32,
        ..ProptestConfig::default()
    })]

    /// I3.
    #[test]
    fn whatever_happens_on_the_way_all_of_a_history_comes_once_in_its_order(
        count in 1..150_usize, steps in prop::collection::vec(step(), 0..24)
    ) {
        let (mut phone, mut laptop, mut bob) = household(count);
        begin(&mut phone, &mut laptop, HistoryChoice::All);
        for step in steps {
            let (Step::Arrives(of_phone) | Step::Lost(of_phone) | Step::Twice(of_phone) | Step::Crash(of_phone)) = step
            else {
                match step {
                    Step::OfferAgain => { offer(&mut phone, 2, HistoryChoice::All); }
                    _ => {
                        let sent = bob.send(account(1), "live");
                        phone.receive_all(&sent);
                        laptop.receive_all(&sent);
                    }
                }
                continue;
            };
            let (from, to) = if of_phone { (&mut phone, &mut laptop) } else { (&mut laptop, &mut phone) };
            if let Step::Crash(_) = step {
                from.crash();
                ask(from);
                continue;
            }
            let mut carried = leave(from);
            if let Step::Lost(_) = step {
                continue;
            }
            to.receive_all(&carried);
            if let Step::Twice(_) = step {
                carried.reverse();
                to.receive_all(&carried);
            }
        }
        // They come to rest: both connect anew, and gaps are told.
        for _ in 0..4 {
            if stage(&phone).0 == HistoryStage::Offered {
                offer(&mut phone, 2, HistoryChoice::All);
                laptop.receive_all(&leave(&mut phone));
            }
            let offered = laptop.store.read_now(all).unwrap();
            if let [HistoryState { history, stage: HistoryStage::Offered, .. }] = offered[..] {
                take(&mut laptop, history);
            }
            for party in [&mut phone, &mut laptop] {
                party.now += 60 * 60 * 1000;
                ask(party);
                party.skip_gaps(0);
            }
            settle(&mut phone, &mut laptop);
        }
        let mut expected = seen(&phone, account(2));
        let mut found = seen(&laptop, account(2));
        prop_assert_eq!(stage(&laptop).0, HistoryStage::Complete);
        prop_assert_eq!(stage(&phone).0, HistoryStage::Complete);
        // The history before, what was live behind it, in the order it came.
        prop_assert_eq!(&found[..count], &expected[..count]);
        expected.sort_by_key(|(_, _, id)| *id);
        found.sort_by_key(|(_, _, id)| *id);
        prop_assert_eq!(found, expected);
    }
}
