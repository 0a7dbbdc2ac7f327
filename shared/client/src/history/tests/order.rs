//! Where messages stand that a second history brings.

use super::*;

/// Carol, whom the household knows.
fn third_person(phone: &mut Party, laptop: &mut Party) -> Party {
    let mut carol = Party::new(account(3), 1, 14);
    for party in [&mut *phone, &mut *laptop] {
        let of_carol = carol.bundle();
        party.claim(account(3), &[of_carol]);
    }
    let both = [phone.bundle(), laptop.bundle()];
    carol.claim(account(1), &both);
    carol.claim(account(3), &[]);
    carol
}

/// As if these messages had never come, numbered in the order they are shown.
fn lose(party: &mut Party, is_lost: impl Fn(usize) -> bool) {
    party.write(|tx, _| {
        let rows: Vec<i64> = tx
            .prepare("SELECT id FROM messages ORDER BY position")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for (_, row) in rows.iter().enumerate().filter(|(number, _)| is_lost(*number)) {
            tx.execute("DELETE FROM timeline WHERE message = ?1", [row])?;
            tx.execute("DELETE FROM sent WHERE message = ?1", [row])?;
            tx.execute("DELETE FROM messages WHERE id = ?1", [row])?;
        }
        Ok(())
    });
}

/// The conversation as an app pages it, so many at a time.
fn paged(party: &Party, with: AccountId, count: usize) -> Vec<(String, bool, MessageId)> {
    let (mut paged, mut before) = (Vec::new(), None);
    loop {
        let read = |tx: &Transaction<'_>| messages::page(tx, with, before, count);
        let page = party.store.read_now(read).unwrap();
        let Some(first) = page.first() else { return paged };
        before = Some(first.position);
        paged.splice(
            0..0,
            page.into_iter()
                .map(|message| (message.text, message.own, message.id)),
        );
    }
}

fn live(from: &mut Party, phone: &mut Party, laptop: &mut Party, text: &str) {
    let sent = from.send(account(1), text);
    phone.receive_all(&sent);
    laptop.receive_all(&sent);
}

#[test]
fn what_is_missing_between_live_messages_and_among_old_ones_comes_to_its_place() {
    let (mut phone, mut laptop, mut bob) = household(90);
    begin_again(&mut phone, &mut laptop);
    for number in 0..10 {
        live(&mut bob, &mut phone, &mut laptop, &format!("live {number}"));
    }
    let before = shown(&laptop, account(2));
    // Some at the beginning, in the middle, many in a row, live ones, and the newest of all.
    lose(
        &mut laptop,
        |number| matches!(number, 0 | 7 | 20..70 | 93..96 | 98..100),
    );
    let kept = shown(&laptop, account(2));
    assert_eq!(kept.len(), 100 - 2 - 50 - 3 - 2);
    begin_again(&mut phone, &mut laptop);
    assert_eq!(seen(&laptop, account(2)), seen(&phone, account(2)));
    assert_eq!(paged(&laptop, account(2), 7), seen(&phone, account(2)));
    // What was there did not move: apps page by places.
    let after = shown(&laptop, account(2));
    assert!(kept.iter().all(|kept| after.contains(kept)));
    assert!(
        before.len() == after.len() && laptop.texts().len() == 10 - 5,
        "told once"
    );
    // What comes now is behind all of it.
    live(&mut bob, &mut phone, &mut laptop, "and on");
    assert_eq!(seen(&laptop, account(2)), seen(&phone, account(2)));
}

#[test]
fn what_an_earlier_history_left_out_for_its_date_stands_where_it_stood() {
    let (mut phone, mut laptop, _) = household(80);
    // Every fifth has the time of a clock that was wrong.
    phone.write(|tx, _| {
        let old = "UPDATE messages SET sent_at = sent_at - ?1 WHERE id % 5 = 0";
        Ok(tx.execute(old, [10 * DAY])?)
    });
    begin(&mut phone, &mut laptop, HistoryChoice::Days(7));
    settle(&mut phone, &mut laptop);
    assert_eq!(seen(&laptop, account(2)).len(), 64);
    begin_again(&mut phone, &mut laptop);
    assert_eq!(seen(&laptop, account(2)), seen(&phone, account(2)));
}

#[test]
fn a_history_that_is_interrupted_goes_on_at_the_place_where_it_was() {
    let (mut phone, mut laptop, _) = household(300);
    begin_again(&mut phone, &mut laptop);
    lose(&mut laptop, |number| number % 3 != 1);
    begin(&mut phone, &mut laptop, HistoryChoice::All);
    phone.receive_all(&leave(&mut laptop));
    while stage(&laptop).0 != HistoryStage::Complete {
        for chunk in leave(&mut phone) {
            laptop.receive_all(&[chunk]);
            laptop.crash();
        }
        phone.receive_all(&leave(&mut laptop));
    }
    assert_eq!(seen(&laptop, account(2)), seen(&phone, account(2)));
}

#[test]
fn two_devices_that_have_different_halves_give_one_history() {
    let (mut phone, mut laptop, bob) = household(120);
    begin_again(&mut phone, &mut laptop);
    let whole = seen(&phone, account(2));
    let mut tablet = Party::on_disk(account(1), 3, 15);
    let (of_phone, of_laptop, of_bob) = (phone.bundle(), laptop.bundle(), bob_bundle(bob));
    tablet.claim(account(1), &[of_phone, of_laptop]);
    tablet.claim(account(2), &[of_bob]);
    let (of_laptop, of_tablet) = (laptop.bundle(), tablet.bundle());
    phone.claim(account(1), &[of_laptop, of_tablet]);
    let (of_phone, of_tablet) = (phone.bundle(), tablet.bundle());
    laptop.claim(account(1), &[of_phone, of_tablet]);
    // What neither has is lost for good; the rest comes in its order.
    let of_phone = |number: usize| !number.is_multiple_of(4) && number <= 100;
    let of_laptop = |number: usize| number % 4 != 2 && number >= 15;
    lose(&mut phone, |number| !of_phone(number));
    lose(&mut laptop, |number| !of_laptop(number));
    for giver in [&mut laptop, &mut phone] {
        let history = offer(giver, 3, HistoryChoice::All);
        tablet.receive_all(&leave(giver));
        take(&mut tablet, history);
        settle(giver, &mut tablet);
    }
    let left = whole.into_iter().enumerate();
    let left: Vec<_> = left
        .filter(|(number, _)| of_phone(*number) || of_laptop(*number))
        .map(|(_, message)| message)
        .collect();
    assert_eq!(seen(&tablet, account(2)), left);
}

fn bob_bundle(mut bob: Party) -> waxwing_wire::claim::PrekeyBundle {
    bob.bundle()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases / 32,
        ..ProptestConfig::default()
    })]

    /// I3.
    #[test]
    fn whatever_is_missing_of_two_conversations_a_second_history_brings_to_its_place(
        count in 0..90_usize,
        of_bob in prop::collection::vec(any::<bool>(), 1..40),
        lost in prop::collection::vec(prop::bool::weighted(0.4), 130),
    ) {
        let (mut phone, mut laptop, mut bob) = household(count);
        let mut carol = third_person(&mut phone, &mut laptop);
        begin_again(&mut phone, &mut laptop);
        for (number, of_bob) in of_bob.iter().enumerate() {
            let from = if *of_bob { &mut bob } else { &mut carol };
            live(from, &mut phone, &mut laptop, &format!("live {number}"));
        }
        lose(&mut laptop, |number| lost[number]);
        begin_again(&mut phone, &mut laptop);
        for with in [account(2), account(3)] {
            prop_assert_eq!(seen(&laptop, with), seen(&phone, with));
            prop_assert_eq!(paged(&laptop, with, 9), seen(&phone, with));
        }
        // The list of conversations, the one with the newest message first.
        let order = |party: &Party| -> Vec<_> {
            let all = party.store.read_now(messages::conversations).unwrap();
            all.into_iter().map(|conversation| conversation.account).collect()
        };
        prop_assert_eq!(order(&laptop), order(&phone));
    }
}
