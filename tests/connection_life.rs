//! A connection's life: kept while somebody looks, ended behind the screen, replaced before it ends, on another network, taken
//! over, half open, and by a wrong clock. P1, P3, P4.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use scenarios::{Cable, Phone, Service, until, within_patience};
use waxwing_client::{Client, DisconnectReason, Endpoints, Event, StoreLocation, Timings};
use waxwing_local::{gateway::Lifetimes, runner::RunnerConfig};

/// Longer than any story.
const NEVER: Duration = Duration::from_secs(60 * 60);

/// A phone, and what its client told of its connection.
struct Watched {
    phone: Phone,
    told: Arc<Mutex<Vec<Event>>>,
}

impl Watched {
    /// A new person, whose client waits as `set` says, connected.
    async fn new(service: &Service, endpoints: Endpoints, set: impl FnOnce(&mut Timings)) -> Self {
        let client = opened(endpoints, StoreLocation::Memory, set).await;
        let watched = Self::of(Phone::registered_as(client, service).await).await;
        watched.phone.client.connect();
        watched
            .until_told("a connection", |event| matches!(event, Event::Drained { .. }), 1)
            .await;
        watched
    }

    async fn of(phone: Phone) -> Self {
        let mut events = phone.client.observe().await.unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = told.clone();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                telling.lock().unwrap().push(event);
            }
        });
        Self { phone, told }
    }

    fn count(&self, is_meant: impl Fn(&Event) -> bool) -> usize {
        self.told
            .lock()
            .unwrap()
            .iter()
            .filter(|event| is_meant(event))
            .count()
    }

    async fn until_told(&self, what: &str, is_meant: impl Fn(&Event) -> bool, times: usize) {
        until(what, async || self.count(&is_meant) >= times).await;
    }

    fn disconnected(&self) -> Vec<(DisconnectReason, Option<Duration>)> {
        let told = self.told.lock().unwrap();
        let ends = told.iter().filter_map(|event| match event {
            Event::Disconnected { reason, retry_in } => Some((reason.clone(), *retry_in)),
            _ => None,
        });
        ends.collect()
    }

    async fn until_disconnected(&self, times: usize) {
        self.until_told("an end", is_end, times).await;
    }
}

fn is_end(event: &Event) -> bool {
    matches!(event, Event::Disconnected { .. })
}

async fn opened(endpoints: Endpoints, store: StoreLocation, set: impl FnOnce(&mut Timings)) -> Client {
    let mut config = Service::config_at(endpoints, store);
    set(&mut config.timings);
    Client::open(config).await.unwrap()
}

/// As the harness opens it.
fn usual(_: &mut Timings) {}

async fn with_lifetimes(idle: Duration, connection: Duration) -> Service {
    Service::start_with(RunnerConfig {
        lifetimes: Lifetimes { idle, connection },
        ..RunnerConfig::default()
    })
    .await
}

fn numbered(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{name} {number}")).collect()
}

#[tokio::test]
async fn p3_a_quiet_connection_outlives_the_idle_limit_because_it_says_something_in_time() {
    let service = with_lifetimes(Duration::from_secs(6), NEVER).await;
    let soon = |timings: &mut Timings| timings.keep_alive_after = Duration::from_secs(1);
    let alice = Watched::new(&service, service.endpoints(), soon).await;
    // Pings do not count: who says nothing is cut off.
    let pings_only = |timings: &mut Timings| {
        timings.keep_alive_after = NEVER;
        timings.ping_after = Duration::from_secs(2);
    };
    let bob = Watched::new(&service, service.endpoints(), pings_only).await;
    bob.until_disconnected(2).await;
    for (reason, _) in bob.disconnected() {
        assert_eq!(reason, DisconnectReason::Closed(1001));
    }
    assert_eq!(alice.disconnected(), []);
}

#[tokio::test]
async fn behind_the_screen_the_connection_ends_and_the_app_has_a_moment_when_it_is_woken() {
    let service = Service::start().await;
    let alice = Phone::of_a_new_person(&service).await;
    let short = |timings: &mut Timings| timings.background_linger = Duration::from_secs(1);
    let bob = Watched::new(&service, service.endpoints(), short).await;
    alice.say(&bob.phone, "seen at once").await;
    bob.phone.until_shown(&alice, 1).await;

    bob.phone.client.background();
    bob.until_disconnected(1).await;
    until("$disconnect", async || service.invocations("disconnect") == 1).await;
    alice.say(&bob.phone, "a push tells of it").await;
    alice.until_accepted().await;
    assert_eq!(bob.phone.texts(&alice).len(), 1);

    // The push wakes the app, and it goes back to sleep.
    bob.phone.client.connect();
    bob.phone.until_shown(&alice, 2).await;
    bob.until_disconnected(2).await;
    let sent_to_sleep = (DisconnectReason::Background, None);
    assert_eq!(bob.disconnected(), [sent_to_sleep.clone(), sent_to_sleep]);

    alice.say(&bob.phone, "seen on the screen").await;
    alice.until_accepted().await;
    bob.phone.client.foreground();
    bob.phone.until_shown(&alice, 3).await;
    assert_eq!(bob.count(|event| matches!(event, Event::Connected)), 3);
}

/// P4, and X70: a device that replaces its own connection is not taken over.
#[tokio::test]
async fn p4_connections_are_replaced_under_a_stream_of_messages_without_a_gap() {
    let service = with_lifetimes(NEVER, Duration::from_secs(8)).await;
    let cables = [
        Cable::to(&service.endpoints()).await,
        Cable::to(&service.endpoints()).await,
    ];
    let early = |timings: &mut Timings| timings.renew_after = Duration::from_secs(3);
    let [first, second] = cables
        .each_ref()
        .map(|cable| cable.endpoints(&service.endpoints()));
    let alice = Watched::new(&service, first, early).await;
    let bob = Watched::new(&service, second, early).await;
    let mut count = 0;
    let renewed = |person: &Watched| person.count(|event| *event == Event::Renewed);
    within_patience("renewals", async {
        while renewed(&alice) < 3 || renewed(&bob) < 3 {
            alice.phone.say(&bob.phone, &format!("from alice {count}")).await;
            bob.phone.say(&alice.phone, &format!("from bob {count}")).await;
            count += 1;
            // As many frames as an account may send.
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    })
    .await;
    for (person, other) in [(&alice, &bob), (&bob, &alice)] {
        person.phone.until_accepted().await;
        person.phone.until_shown(&other.phone, 2 * count).await;
        assert_eq!(person.disconnected(), [], "no end in between");
        let shown = person.phone.shown(&other.phone).into_iter();
        let heard: Vec<_> = shown
            .filter(|message| message.from.account == other.phone.account())
            .map(|message| message.text)
            .collect();
        let name = if std::ptr::eq(other, &alice) {
            "from alice"
        } else {
            "from bob"
        };
        assert_eq!(heard, numbered(name, count), "all, once, in order");
    }
    for cable in &cables {
        assert!(cable.opened() > 3);
        assert_eq!(cable.fewest(), 1, "never without a connection");
    }
    until("the old ones closed", async || {
        cables.iter().all(|cable| cable.open() == 1)
    })
    .await;
    until("empty mailboxes", async || service.mailbox().await.is_empty()).await;
}

#[tokio::test]
async fn p4_a_connection_that_cannot_be_replaced_yet_is_used_as_long_as_it_lives() {
    let service = Service::start().await;
    let cable = Cable::to(&service.endpoints()).await;
    let early = |timings: &mut Timings| timings.renew_after = Duration::from_secs(1);
    let alice = Watched::new(&service, cable.endpoints(&service.endpoints()), early).await;
    let bob = Phone::of_a_new_person(&service).await;
    cable.refuse(true);
    tokio::time::sleep(Duration::from_secs(2)).await;
    alice.phone.say(&bob, "over the old one").await;
    bob.until_shown(&alice.phone, 1).await;
    assert_eq!(alice.count(|event| *event == Event::Renewed), 0);
    cable.refuse(false);
    alice
        .until_told("the new one", |event| *event == Event::Renewed, 1)
        .await;
    assert_eq!(alice.disconnected(), []);
}

/// X70: a device runs twice, from a copy of its store.
#[tokio::test]
async fn x70_a_device_that_runs_twice_does_not_fight_for_its_place_until_the_app_asks_for_it() {
    let service = Service::start().await;
    let bob = Watched::new(&service, service.endpoints(), usual).await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let open =
        async |name: &str| opened(service.endpoints(), StoreLocation::Unencrypted(file(name)), usual).await;

    let alice = Phone::registered_as(open("one.db").await, &service).await;
    alice.client.connect();
    alice.say(&bob.phone, "from the only one").await;
    bob.phone.until_shown(&alice, 1).await;
    alice.until_accepted().await;
    let number = alice.number.clone();
    alice.client.close().await.unwrap();
    std::fs::copy(file("one.db"), file("two.db")).unwrap();

    let mut phones = Vec::new();
    for name in ["one.db", "two.db"] {
        let (client, number) = (open(name).await, number.clone());
        phones.push(Watched::of(Phone { client, number }).await);
    }
    let [one, two] = phones.try_into().ok().unwrap();
    one.phone.client.connect();
    one.until_told("a connection", |event| *event == Event::Connected, 1)
        .await;
    two.phone.client.connect();
    one.until_disconnected(1).await;
    let least = Timings::default().taken_over_wait / 2;
    assert!(matches!(one.disconnected()[..], [(DisconnectReason::TakenOver, Some(wait))] if wait >= least));
    one.phone.client.network_changed();
    one.phone.client.foreground();
    two.phone.say(&bob.phone, "from the copy").await;
    bob.phone.until_shown(&one.phone, 2).await;
    assert_eq!(two.disconnected(), [], "the first does not fight for its place");

    // The person takes the first up again.
    one.phone.client.connect();
    two.until_disconnected(1).await;
    assert!(matches!(two.disconnected()[..], [(DisconnectReason::TakenOver, Some(wait))] if wait >= least));
    bob.phone.say(&one.phone, "to whoever is there").await;
    until("the first hears again", async || {
        one.phone
            .texts(&bob.phone)
            .contains(&"to whoever is there".to_owned())
    })
    .await;
    assert_eq!(one.disconnected().len(), 1);
}

#[tokio::test]
async fn another_network_is_used_at_once_and_nothing_is_said_twice() {
    let service = Service::start().await;
    let cable = Cable::to(&service.endpoints()).await;
    // By itself the client would notice nothing.
    let patient = |timings: &mut Timings| {
        timings.ping_after = NEVER;
        timings.request_timeout = NEVER;
    };
    let alice = Watched::new(&service, cable.endpoints(&service.endpoints()), patient).await;
    let bob = Watched::new(&service, service.endpoints(), usual).await;
    alice.phone.say(&bob.phone, "over the first network").await;
    bob.phone.until_shown(&alice.phone, 1).await;
    alice.phone.until_accepted().await;

    cable.go_dead();
    alice.phone.say(&bob.phone, "said into the void").await;
    bob.phone.say(&alice.phone, "heard by nobody").await;
    bob.phone.until_accepted().await;
    alice.phone.client.network_changed();
    alice
        .until_told("the next connection", |event| *event == Event::Renewed, 1)
        .await;
    bob.phone.until_shown(&alice.phone, 3).await;
    alice.phone.until_shown(&bob.phone, 3).await;
    alice.phone.until_accepted().await;
    until("empty mailboxes", async || service.mailbox().await.is_empty()).await;
    assert_eq!(bob.phone.shown(&alice.phone).len(), 3);
    assert_eq!(alice.phone.shown(&bob.phone).len(), 3);
    assert_eq!(alice.disconnected(), []);
}

#[tokio::test]
async fn another_network_ends_the_wait_for_the_next_attempt() {
    let service = Service::start().await;
    let cable = Cable::to(&service.endpoints()).await;
    let patient = |timings: &mut Timings| timings.backoff_first = NEVER;
    let patient = |timings: &mut Timings| {
        patient(timings);
        timings.backoff_longest = NEVER;
    };
    let client = opened(
        cable.endpoints(&service.endpoints()),
        StoreLocation::Memory,
        patient,
    )
    .await;
    let alice = Watched::of(Phone::registered_as(client, &service).await).await;
    cable.refuse(true);
    alice.phone.client.connect();
    alice.until_disconnected(1).await;
    assert!(matches!(
        alice.disconnected()[..],
        [(DisconnectReason::Unreachable, Some(_))]
    ));
    cable.refuse(false);
    alice.phone.client.network_changed();
    alice
        .until_told("a connection", |event| *event == Event::Connected, 1)
        .await;
}

/// X70: neither end is told that the other is gone.
#[tokio::test]
async fn a_connection_that_carries_nothing_any_more_is_noticed_by_what_is_not_answered() {
    let service = Service::start().await;
    let cables = [
        Cable::to(&service.endpoints()).await,
        Cable::to(&service.endpoints()).await,
    ];
    let [first, second] = cables
        .each_ref()
        .map(|cable| cable.endpoints(&service.endpoints()));
    // Alice misses the answer to a message, Bob, who says nothing, that to a ping.
    let asks = |timings: &mut Timings| {
        timings.ping_after = NEVER;
        timings.request_timeout = Duration::from_secs(2);
    };
    let listens = |timings: &mut Timings| timings.ping_after = Duration::from_secs(1);
    let alice = Watched::new(&service, first, asks).await;
    let bob = Watched::new(&service, second, listens).await;
    alice.phone.say(&bob.phone, "before").await;
    bob.phone.until_shown(&alice.phone, 1).await;
    alice.phone.until_accepted().await;
    cables.iter().for_each(Cable::go_dead);
    alice.phone.say(&bob.phone, "after").await;
    bob.phone.until_shown(&alice.phone, 2).await;
    for person in [&alice, &bob] {
        person.until_disconnected(1).await;
        assert_eq!(person.disconnected()[0].0, DisconnectReason::TimedOut);
    }
    until("empty mailboxes", async || service.mailbox().await.is_empty()).await;
    assert_eq!(bob.phone.texts(&alice.phone), ["before", "after"]);
}

#[tokio::test]
async fn a_device_whose_clock_is_wrong_by_minutes_or_a_day_registers_connects_and_sends() {
    const MINUTE: i64 = 60;
    const DAY: i64 = 24 * 60 * MINUTE;
    for ahead in [-DAY, -10 * MINUTE, 10 * MINUTE, DAY] {
        let clock_offset = Arc::new(AtomicI64::new(ahead));
        let service = Service::start_with(RunnerConfig {
            clock_offset: clock_offset.clone(),
            ..RunnerConfig::default()
        })
        .await;
        let bob = Watched::new(&service, service.endpoints(), usual).await;
        let folder = tempfile::tempdir().unwrap();
        let store = || StoreLocation::Unencrypted(folder.path().join("alice.db"));
        let client = opened(service.endpoints(), store(), usual).await;
        let alice = Phone::registered_as(client, &service).await;
        alice.client.connect();
        alice.say(&bob.phone, "hello").await;
        bob.phone.until_shown(&alice, 1).await;
        bob.phone.say(&alice, "hello").await;
        alice.until_shown(&bob.phone, 2).await;
        assert_eq!(
            bob.disconnected(),
            [],
            "the clock is known since the registration"
        );

        // A process that begins anew knows nothing of the service's clock until it is refused.
        let number = alice.number.clone();
        alice.client.close().await.unwrap();
        let client = opened(service.endpoints(), store(), usual).await;
        let alice = Watched::of(Phone { client, number }).await;
        alice.phone.client.connect();
        alice.phone.say(&bob.phone, "again").await;
        bob.phone.until_shown(&alice.phone, 3).await;
        let refused: Vec<_> = alice
            .disconnected()
            .into_iter()
            .map(|(reason, _)| reason)
            .collect();
        assert_eq!(refused, [DisconnectReason::WrongClock], "{ahead}");

        // The difference becomes another one while it is connected.
        clock_offset.fetch_add(20 * MINUTE, Ordering::SeqCst);
        alice.phone.client.network_changed();
        alice
            .until_told("the next connection", |event| *event == Event::Renewed, 1)
            .await;
        assert_eq!(alice.disconnected().len(), 1);
    }
}
