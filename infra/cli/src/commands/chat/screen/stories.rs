//! Stories of the app's state with real clients, the real functions behind the local runner and real sockets. Only the
//! terminal is none: keys come from a script, and the screen is a buffer.

mod devices;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::tz::TimeZone;
use ratatui::{buffer::Buffer, layout::Size, style::Color};
use tempfile::TempDir;
use tokio::time::{Instant, sleep_until};
use waxwing_client::{Client, ClientConfig, DeviceName, PhoneNumber, StoreLocation};
use waxwing_local::runner::Runner;
use zeroize::Zeroizing;

use super::{
    app::Happening,
    dialogs::Dialog,
    now,
    session::Session,
    testing::{as_text, drawn, has_in_colour, keys},
};
use crate::{
    address_book::AddressBook,
    console::Console,
    people::{self, Device},
    service::{self, Options},
    tables::Tables,
};

/// How long a screen may take to show something. Far beyond what it takes; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often an app at rest looks at the clock.
const MOMENT: Duration = Duration::from_millis(100);

/// After so many seconds a second code may be sent to a number.
const CODE_PAUSE_SECONDS: i64 = 61;

/// A service, and the folder where its people know each other's names.
struct Stage {
    runner: Runner,
    clock_offset: Arc<AtomicI64>,
    folder: TempDir,
}

/// Somebody before a screen.
struct Seat {
    device: Device,
    number: PhoneNumber,
    session: Session,
}

impl Stage {
    async fn set() -> Self {
        let options = Options::in_memory(false);
        let clock_offset = options.clock_offset.clone();
        let runner = service::start(options, &Console::new(true)).await.unwrap();
        Self {
            runner,
            clock_offset,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new(StoreLocation::Memory, service::endpoints(&self.runner));
        config.timings.receipt_linger = Duration::from_millis(10);
        config.timings.gap_wait = Duration::from_millis(500);
        config.timings.background_linger = Duration::from_millis(500);
        config
    }

    /// Proves a number on a new device.
    async fn confirmed(&self, number: &PhoneNumber) -> Client {
        let client = Client::open(self.config()).await.unwrap();
        client.request_code(number).await.unwrap();
        let code = people::code_for(number, &self.runner.outbox()).unwrap();
        client.confirm(number, &code).await.unwrap();
        client.register(None).await.unwrap();
        client
    }

    /// Another device of somebody, let in from the screen of the first.
    async fn linked(&self, first: &mut Seat, name: &str) -> Client {
        first.types("<c-o>l").await;
        // How large a code is, and so whether it fits, depends on what it says.
        let is_offered = |screen: &Buffer| has_a_code(screen) || as_text(screen).contains("waxwing:link?");
        first.until("a code, or its text", is_offered).await;
        let code = first.code();
        let client = Client::open(self.config()).await.unwrap();
        let (new, name) = (client.clone(), DeviceName::new(name).unwrap());
        let mut linking = tokio::spawn(async move { new.link(&code, &name).await });
        tokio::select! {
            _ = first.sees("asks to be linked.") => {}
            ended = &mut linking => panic!("before it was let in: {ended:?}"),
        }
        first.types("a").await;
        linking.await.unwrap().unwrap();
        first.sees("The new device has its answer.").await;
        client
    }

    /// Somebody new, connected.
    async fn seat(&self, name: &str) -> Seat {
        let number = people::new_number().unwrap();
        let client = self.confirmed(&number).await;
        Seat::before(self, name, number, client).await
    }
}

/// Whether there is a QR code: each has the inner rows of a finder pattern, which begins on an upper or on a lower half of a
/// line.
fn has_a_code(screen: &Buffer) -> bool {
    as_text(screen).contains("█ ███ █")
}

impl Seat {
    async fn before(stage: &Stage, name: &str, number: PhoneNumber, client: Client) -> Self {
        let book = AddressBook::in_directory(stage.folder.path());
        let address = client.address().unwrap();
        let device = Device {
            name: name.to_owned(),
            client,
            address,
        };
        let name: crate::name::Name = name.parse().unwrap();
        book.enter(&name, address.account).unwrap();
        let size = Size::new(80, 24);
        let session = Session::begin(&device, name, book, TimeZone::UTC, size, now()).await;
        device.client.connect();
        Self {
            device,
            number,
            session: session.unwrap(),
        }
    }

    async fn types(&mut self, script: &str) {
        for key in keys(script) {
            self.session.take(Happening::Key(key)).await;
        }
    }

    async fn pastes(&mut self, text: &str) {
        self.session.take(Happening::Pasted(text.to_owned())).await;
    }

    /// What its QR code says.
    fn code(&self) -> Zeroizing<String> {
        match &self.session.app().dialog {
            Some(Dialog::Devices(devices)) => devices.code.clone().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    async fn looks(&mut self) -> Buffer {
        self.session.catch_up().await;
        drawn(self.session.app())
    }

    /// Sits before the screen until it is as it should be.
    async fn until(&mut self, what: &str, is_so: impl Fn(&Buffer) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.looks().await;
            if is_so(&screen) {
                return as_text(&screen);
            }
            assert!(Instant::now() < deadline, "{what}\n{}", as_text(&screen));
            let moment = Instant::now() + MOMENT;
            let happening = tokio::select! {
                happening = self.session.next() => happening.unwrap(),
                () = sleep_until(moment) => Happening::Now(now()),
            };
            self.session.take(happening).await;
        }
    }

    /// Sits before the screen until a text is on it.
    async fn sees(&mut self, text: &str) -> String {
        self.until(text, |screen| as_text(screen).contains(text)).await
    }

    /// Sits before the screen until a message of one's own got so far; further is as good.
    async fn sees_ticks(&mut self, text: &str, tick: &str) {
        let is_so = |screen: &Buffer| {
            let text_of_it = as_text(screen);
            let mut lines = text_of_it.lines();
            lines.any(|line| {
                let got = line.rsplit(' ').next();
                line.contains(text) && (got == Some(tick) || (tick == "✓" && got == Some("✓✓")))
            })
        };
        self.until(&format!("{text} {tick}"), is_so).await;
    }
}

#[tokio::test]
async fn two_people_see_each_other_write_type_and_read() {
    let stage = Stage::set().await;
    let (mut alice, mut bob) = (stage.seat("alice").await, stage.seat("bob").await);
    bob.sees(" connected ").await;
    alice.sees(" connected ").await;
    alice.types("<c-n>bob<enter>Hello Bob, 絹の尾 🍰<enter>").await;
    alice.sees_ticks("Hello Bob, 絹の尾 🍰", "✓").await;

    // The first thing bob sees of alice is what a stranger wrote.
    let list = bob.sees("(1)").await;
    assert!(list.contains("Hello Bob") && list.contains("alice"), "{list}");
    bob.sees("A stranger").await;
    bob.types("<c-y>").await;
    bob.until("no stranger", |screen| !as_text(screen).contains("A stranger"))
        .await;
    bob.types("<enter>").await;
    bob.until("nothing unread", |screen| !as_text(screen).contains("(1)"))
        .await;
    alice
        .until("read", |screen| has_in_colour(screen, "✓✓", Color::Cyan))
        .await;

    // Typing is seen in the list and in the conversation, and ends with the message.
    alice.types("How are").await;
    let types = bob.sees("alice types…").await;
    assert!(types.contains("  types…"), "{types}");
    bob.types("<esc>").await;
    alice.types(" you?<enter>").await;
    let wrote = |screen: &Buffer| {
        let text = as_text(screen);
        text.contains("(1)") && !text.contains("types…")
    };
    bob.until("alice wrote and types no more", wrote).await;
    // It is on bob's device, and not read: he looks at the list.
    alice.sees_ticks("How are you?", "✓✓").await;
    let ticks = alice.looks().await;
    assert_eq!(as_text(&ticks).matches("✓✓").count(), 2);
    bob.types("<enter>").await;
    let all_read = |screen: &Buffer| {
        let (rows, columns) = (0..screen.area.height, 0..screen.area.width);
        let mut ticks = rows.flat_map(|row| columns.clone().map(move |column| (column, row)));
        ticks.all(|at| screen[at].symbol() != "✓" || screen[at].fg == Color::Cyan)
    };
    bob.until("nothing unread", |screen| !as_text(screen).contains("(1)"))
        .await;
    alice.until("all is read", all_read).await;
}

#[tokio::test]
async fn a_lost_message_is_seen_to_be_missing_and_to_come_late() {
    let stage = Stage::set().await;
    let (mut alice, mut bob) = (stage.seat("alice").await, stage.seat("bob").await);
    alice.types("<c-n>bob<enter>one<enter>").await;
    alice.sees_ticks("one", "✓").await;
    bob.sees("one  ").await;
    bob.device.client.disconnect().await;
    bob.sees("offline: disconnected by the app; Ctrl-R connects")
        .await;
    alice.types("two<enter>").await;
    alice.sees_ticks("two", "✓").await;
    let tables = Tables::at(&stage.runner.aws_endpoint());
    tables.empty("MailboxTable", &["o", "i"]).await.unwrap();
    alice.types("three<enter>").await;
    alice.sees_ticks("three", "✓").await;
    bob.types("<c-r>").await;
    let missing = bob.sees("– A message of alice is missing, asked again.").await;
    assert!(!missing.contains("two  "), "{missing}");
    let came = bob.sees("– A message of alice was missing, and came late.").await;
    assert!(came.contains("one  "), "{came}");
    let is_late = |screen: &Buffer| {
        let text = as_text(screen);
        text.lines()
            .any(|line| line.contains("two  ") && line.ends_with(" late"))
    };
    bob.until("the lost message, marked as late", is_late).await;
}

#[tokio::test]
async fn two_people_compare_what_is_on_their_screens_and_both_see_the_mark() {
    let stage = Stage::set().await;
    let (mut alice, mut bob) = (stage.seat("alice").await, stage.seat("bob").await);
    alice.types("<c-n>bob<enter>Is it you?<enter>").await;
    bob.sees("Is it you?").await;
    alice.types("<c-v>").await;
    bob.types("<c-v>").await;
    let (ours, theirs) = (
        alice.sees("m mark as verified").await,
        bob.sees("m mark as verified").await,
    );
    let digits = |screen: &str| -> String {
        // Between the two sides of the dialog, which covers the list's edge.
        let rows = screen.lines().map(|line| line.split('│').collect::<Vec<_>>());
        let inside = rows
            .filter(|parts| parts.len() == 3)
            .flat_map(|parts| parts[1].split(' '));
        let is_group = |group: &&str| group.len() == 5 && group.bytes().all(|byte| byte.is_ascii_digit());
        inside.filter(is_group).collect()
    };
    assert_eq!(digits(&ours).len(), 60, "{ours}");
    assert_eq!(digits(&ours), digits(&theirs));

    // Bob hands in what alice reads out; somebody else's number does not do.
    let other = |digit: u8| char::from(b'0' + (digit - b'0' + 1) % 10);
    bob.pastes(&digits(&ours).bytes().map(other).collect::<String>())
        .await;
    bob.sees("They differ").await;
    bob.pastes(&digits(&ours)).await;
    bob.sees("They match").await;
    alice.types("m").await;
    alice.sees("✔ verified").await;
    bob.types("m").await;
    bob.sees("m take the mark back").await;
    for seat in [&mut alice, &mut bob] {
        seat.types("<esc>").await;
        let screen = seat.sees(" ✔ verified").await;
        assert!(!screen.contains("Safety number"), "{screen}");
    }

    // Bob loses his phone. The mark was for a key that is not his any more.
    stage.clock_offset.fetch_add(CODE_PAUSE_SECONDS, Ordering::SeqCst);
    let again = stage.confirmed(&bob.number).await;
    let mut bob = Seat::before(&stage, "bob", bob.number.clone(), again).await;
    bob.types("<c-n>alice<enter>My new phone.<enter>").await;
    let changed = alice.sees("! Another account key.").await;
    assert!(!changed.contains("✔"), "{changed}");
    alice.sees("My new phone.").await;
    alice.types("Really you?<enter>").await;
    alice.sees_ticks("Really you?", "held").await;
    alice.types("<c-t>").await;
    alice.sees("t  trust it").await;
    alice.types("t").await;
    alice.sees_ticks("Really you?", "✓").await;
    let screen = alice.looks().await;
    assert!(!as_text(&screen).contains("✔"), "believed is not compared");
    bob.sees("Really you?").await;
}

#[tokio::test]
async fn who_is_away_is_not_connected_until_they_are_back_and_another_network_costs_nothing() {
    let stage = Stage::set().await;
    let (mut alice, mut bob) = (stage.seat("alice").await, stage.seat("bob").await);
    alice.types("<c-n>bob<enter>one<enter>").await;
    bob.sees("one  ").await;
    bob.types("<c-y><enter>/network<enter>").await;
    bob.sees("On a new connection; nothing was lost.").await;
    bob.types("/away<enter>").await;
    bob.sees("away, not connected; /back").await;
    let name = alice.sees("one  ").await;
    assert!(
        name.contains(" bob  "),
        "who was looked up by name is called so: {name}"
    );
    alice.types("two<enter>").await;
    alice.sees_ticks("two", "✓").await;
    let screen = bob.looks().await;
    assert!(!as_text(&screen).contains("two  "));
    bob.types("/back<enter>").await;
    bob.sees("two  ").await;
    alice
        .until("read", |screen| as_text(screen).matches("✓✓").count() == 2)
        .await;
}
