//! What is promised when a device goes on from an older state of its store.
//!
//! Nobody can promise that it remembers. What it wrote since the copy was made is with those who got it; what had not
//! left is as if it was never written. Everything else holds: what is in its sender's store in the end is shown on every
//! device, once, also on one that had taken it and went back to before that. Who has to do with such a device may be
//! shown something late and be told that something is missing. Between the others nothing is noticed, and nobody but such
//! a device is said to run twice. A key may encrypt twice, never with one nonce.
//!
//! Only between two devices that both went back something may stay lost: what one says under a number that it used
//! before leaves no gap with one that took it, acked it and forgot it.

use super::*;

/// Time passes between these, so that the budget for resets allows what is needed.
const VISITS: usize = 6;

/// Between two visits.
const VISIT_MILLIS: u64 = 7 * 3_600_000;

/// One thing that happens, or a device that writes, is read, goes back, and writes under the same numbers.
fn event() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let restore = prop_oneof![3 => Just(Step::Copy), 2 => Just(Step::Restore)];
    prop_oneof![
        24 => step().prop_map(|step| vec![step]),
        2 => (0..DEVICES.len(), restore).prop_map(|step| vec![step]),
        1 => (0..DEVICES.len(), 1..4_usize, 1..4_usize).prop_map(|(device, forgotten, written)| {
            let own = |steps: &[Step]| -> Vec<_> { steps.iter().map(|step| (device, *step)).collect() };
            let write = own(&[Step::Write, Step::Send, Step::Serve(0), Step::Reply(0)]);
            let read: Vec<_> = (0..DEVICES.len()).map(|reader| (reader, Step::Deliver(0))).collect();
            [
                own(&[Step::Copy]),
                [write.clone(), read].concat().repeat(forgotten),
                own(&[Step::Restore]),
                write.repeat(written),
            ]
            .concat()
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        // A life with its days of healing is long: 16 of them, which the environment can raise.
        cases: ProptestConfig::default().cases / 16,
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    })]

    /// I1, I3; X24, X25.
    #[test]
    fn x24_x25_three_devices_that_go_back_to_older_stores_lose_nothing_that_its_sender_remembers(
        events in prop::collection::vec(event(), 1..250),
    ) {
        let mut world = World::new();
        for (device, step) in events.into_iter().flatten() {
            world.step(device, step);
        }
        world.heal();
        world.check_after_going_back();
    }
}

impl World {
    /// Everybody writes on for some days, and nothing breaks.
    fn heal(&mut self) {
        for _ in 0..VISITS {
            for device in 0..self.devices.len() {
                self.devices[device].restart();
                self.devices[device].party.now += VISIT_MILLIS;
                self.step(device, Step::Write);
            }
            // A gap is told, what is missing asked for, and answered.
            for _ in 0..3 {
                self.come_to_rest();
                for device in &mut self.devices {
                    device.party.wait_out_gaps();
                }
            }
        }
        self.come_to_rest();
    }

    fn check_after_going_back(&self) {
        for reader in &self.devices {
            let shown = reader.shown();
            let own = reader.party.address();
            let told = reader.party.told();
            for writer in &self.devices {
                let from = writer.party.address();
                let of_writer = shown.iter().filter(|message| message.from == from);
                let texts: Vec<_> = of_writer.map(|message| message.text.clone()).collect();
                let distinct: BTreeSet<_> = texts.iter().cloned().collect();
                assert_eq!(
                    distinct.len(),
                    texts.len(),
                    "twice, of {from} on {own}: {texts:?}"
                );
                let remembered = writer
                    .written
                    .iter()
                    .filter(|text| !writer.forgotten.contains(*text));
                let lost: Vec<_> = remembered.filter(|text| !distinct.contains(*text)).collect();
                let both_went_back = reader.went_back && writer.went_back && from != own;
                assert!(
                    lost.is_empty() || both_went_back,
                    "lost, of {from} on {own}: {lost:?}"
                );
                if !reader.went_back && !writer.went_back {
                    assert_eq!(texts, writer.written, "of {from} on {own}");
                    assert!(!told.iter().any(|event| is_alarm_of(event, from)));
                }
                let cloned = Event::ClonedDevice { device: from };
                assert!(
                    writer.went_back || !told.contains(&cloned),
                    "{from} does not run twice"
                );
            }
            let messages = told.iter().filter(|event| matches!(event, Event::Message(_)));
            let others = shown.iter().filter(|message| message.from != own);
            assert_eq!(messages.count(), others.count(), "told as often as shown");
            assert!(!told.iter().any(|event| matches!(event, Event::Failed { .. })));
        }
    }
}

fn is_alarm_of(event: &Event, device: waxwing_wire::DeviceAddress) -> bool {
    match event {
        Event::Gap { from, .. } => *from == device,
        Event::Undecryptable { envelope, .. } => envelope.from == device,
        _ => false,
    }
}
