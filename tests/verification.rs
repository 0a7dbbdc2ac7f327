//! Phone numbers: codes, tickets, and what stops those who would pump or guess them.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use scenarios::{
    Service,
    accounts::{
        Registrant, begin, challenge, code, confirm, post, service_at_the_beginning_of, some_number, texts,
        wrong,
    },
};
use serde_json::{Value, json};
use waxwing_client::wire::{limits::CODE_LIFE_SECONDS, limits::TICKET_LIFE_SECONDS, secret::Ticket};

fn ticket(number: u8) -> Ticket {
    Ticket::new([number; Ticket::BYTES])
}

#[tokio::test]
async fn a_number_that_is_confirmed_gets_an_account_that_works() {
    let service = Service::start().await;
    let someone = Registrant::new(&some_number(), 3);
    let confirmed = someone.verify(&service).await;
    assert_eq!(confirmed.status, 200, "{confirmed:?}");
    assert_eq!(confirmed.body.get("existing"), None);
    let registered = someone.register(&service).await;
    let expected = json!({ "account": someone.account, "device": 1 });
    assert_eq!((registered.status, &registered.body), (200, &expected));
    let mut socket = someone.device(&service).connect().await;
    assert_eq!(socket.request(json!({"action": "receive"})).await["type"], "page");
}

/// X62: of any number of guesses at once, five are compared with the code. The sixth does not help even if it is
/// right.
#[tokio::test]
async fn x62_of_a_hundred_parallel_guesses_at_most_five_are_evaluated() {
    let service = Service::start().await;
    let phone = some_number();
    challenge(&service, &phone).await;
    let right = code(&service, &phone);
    let guesses = (1..=100_u32).map(|distance| {
        let guess = format!("{:06}", (right.parse::<u32>().unwrap() + distance) % 1_000_000);
        let (service, phone) = (&service, &phone);
        async move { confirm(service, phone, &guess, ticket(1)).await }
    });
    for refused in join_all(guesses).await {
        assert_eq!((refused.status, refused.code()), (403, "wrong_code"));
    }
    let codes = service.items("CodesTable").await;
    assert_eq!(codes[0]["t"].as_n().unwrap(), "5", "guesses that were compared");
    let late = confirm(&service, &phone, &right, ticket(1)).await;
    assert_eq!((late.status, late.code()), (403, "wrong_code"));
    assert!(service.items("TicketsTable").await.is_empty());
}

/// X62: a code is used once, whoever asks at the same moment.
#[tokio::test]
async fn x62_of_a_crowd_with_the_right_code_one_gets_a_ticket() {
    let service = Service::start().await;
    let phone = some_number();
    challenge(&service, &phone).await;
    let code = code(&service, &phone);
    let crowd = (1..=5).map(|number| confirm(&service, &phone, &code, ticket(number)));
    let answers = join_all(crowd).await;
    let confirmed = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(confirmed, 1, "{answers:?}");
    assert_eq!(service.items("TicketsTable").await.len(), 1);
    let late = confirm(&service, &phone, &code, ticket(9)).await;
    assert_eq!(late.code(), "wrong_code");
}

/// X62, X80: the same request at the same moment, or after its answer was lost, gets the same ticket.
#[tokio::test]
async fn x80_a_repeated_confirm_gets_the_same_answer() {
    let service = Service::start().await;
    let phone = some_number();
    challenge(&service, &phone).await;
    let code = code(&service, &phone);
    let twins = (0..4).map(|_| confirm(&service, &phone, &code, ticket(1)));
    for answer in join_all(twins).await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(confirm(&service, &phone, &code, ticket(1)).await.status, 200);
    assert_eq!(service.items("TicketsTable").await.len(), 1);
}

#[tokio::test]
async fn x62_a_code_is_good_for_its_own_number_only() {
    let service = Service::start().await;
    let (own, other) = (some_number(), some_number());
    challenge(&service, &own).await;
    challenge(&service, &other).await;
    let code_of_other = code(&service, &other);
    if code_of_other != code(&service, &own) {
        assert_eq!(
            confirm(&service, &own, &code_of_other, ticket(1)).await.code(),
            "wrong_code"
        );
    }
    // A ticket that is somebody else's confirms nothing.
    assert_eq!(
        confirm(&service, &other, &code_of_other, ticket(2)).await.status,
        200
    );
    let stolen = confirm(&service, &own, &wrong(&code(&service, &own)), ticket(2)).await;
    assert_eq!(stolen.code(), "wrong_code");
}

/// X62, X73: a code and a ticket end with their time, whether or not the table has deleted them.
#[tokio::test]
async fn x73_codes_and_tickets_expire() {
    let service = Service::start().await;
    let late = some_number();
    challenge(&service, &late).await;
    let code = code(&service, &late);
    service.let_time_pass(CODE_LIFE_SECONDS.try_into().unwrap());
    assert_eq!(
        confirm(&service, &late, &code, ticket(1)).await.code(),
        "wrong_code"
    );

    let slow = Registrant::new(&some_number(), 0);
    slow.verify(&service).await;
    service.let_time_pass(TICKET_LIFE_SECONDS.try_into().unwrap());
    let refused = slow.register(&service).await;
    assert_eq!((refused.status, refused.code()), (403, "invalid_ticket"));
    assert!(service.items("AccountsTable").await.is_empty());
}

/// X80: until its pause is over a number gets no second text, however often it is asked for; then the pause is
/// twice as long.
#[tokio::test]
async fn x61_x80_a_repeated_challenge_sends_one_text_and_pauses_double() {
    let service = Service::start().await;
    let phone = some_number();
    for answer in join_all((0..8).map(|_| challenge(&service, &phone))).await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(texts(&service, &phone).len(), 1);
    for (texts_so_far, pause) in [(2, 120), (3, 240), (4, 480)] {
        service.let_time_pass(pause / 2);
        let next = challenge(&service, &phone).await;
        assert_eq!(next.status, 200);
        assert_eq!(
            next.body["next_in_seconds"].as_u64().unwrap(),
            pause.unsigned_abs()
        );
        assert_eq!(texts(&service, &phone).len(), texts_so_far);
    }
}

/// X62: whoever keeps asking for new codes to guess at gets few of them.
#[tokio::test]
async fn x61_a_number_whose_code_was_guessed_at_too_often_has_to_wait() {
    let service = Service::start().await;
    let phone = some_number();
    challenge(&service, &phone).await;
    let bad = wrong(&code(&service, &phone));
    for _ in 0..5 {
        confirm(&service, &phone, &bad, ticket(1)).await;
    }
    let refused = challenge(&service, &phone).await;
    assert_eq!((refused.status, refused.code()), (429, "rate_limited"));
    assert!((1..=60).contains(&refused.retry_after.unwrap()));
    assert_eq!(texts(&service, &phone).len(), 1);
}

/// X61, X62: a code that no budget let out is good for nothing: else each refused request would give five guesses more.
#[tokio::test]
async fn x62_a_code_that_was_not_sent_is_not_there_to_be_guessed() {
    let service = service_at_the_beginning_of(3_600).await;
    let block = (0..30).map(|last| format!("+491521234{last:04}"));
    for phone in block {
        assert_eq!(challenge(&service, &phone).await.status, 200);
    }
    let victim = "+4915212349999";
    for _ in 0..3 {
        let refused = challenge(&service, victim).await;
        assert_eq!((refused.status, refused.code()), (429, "rate_limited"));
        for guess in 0..5 {
            let guess = format!("{guess:06}");
            let refused = confirm(&service, victim, &guess, ticket(1)).await;
            assert_eq!(refused.code(), "wrong_code");
        }
    }
    assert!(texts(&service, victim).is_empty());
    let codes = service.items("CodesTable").await;
    let not_sent: Vec<_> = codes.iter().filter(|item| !item.contains_key("c")).collect();
    assert_eq!(not_sent.len(), 1, "the victim's");
    assert_eq!(
        not_sent[0]["t"].as_n().unwrap(),
        "0",
        "guesses that were compared"
    );
}

/// X73, X80: a ticket whose time is over, and whose row nothing has swept away yet, is no obstacle to the same client.
#[tokio::test]
async fn x73_a_ticket_that_has_expired_gives_its_name_back() {
    let service = Service::start().await;
    let slow = Registrant::new(&some_number(), 0);
    assert_eq!(slow.verify(&service).await.status, 200);
    let life = i64::try_from(TICKET_LIFE_SECONDS).unwrap();
    service.let_time_pass(life);
    let again = slow.verify(&service).await;
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!(slow.register(&service).await.status, 200);
}

/// X61: whoever rents a block of numbers gets few texts to it, and nobody else is kept waiting.
#[tokio::test]
async fn x61_a_burst_to_adjacent_numbers_stops() {
    let service = service_at_the_beginning_of(3_600).await;
    let burst = (0..60).map(|last| format!("+491521234{last:04}"));
    let asked: Vec<_> = burst.collect();
    let answers = join_all(asked.iter().map(|phone| challenge(&service, phone))).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert_eq!(refused.len(), 30, "of sixty");
    for answer in refused {
        assert_eq!((answer.status, answer.code()), (429, "rate_limited"));
        assert!((1..=3_600).contains(&answer.retry_after.unwrap()));
    }
    assert_eq!(service.runner.outbox().len(), 30);
    assert_eq!(challenge(&service, "+4915298765432").await.status, 200);
    service.let_time_pass(3_600);
    assert_eq!(challenge(&service, &asked[59]).await.status, 200, "an hour later");
}

/// The sample event, from another address and about another number.
fn challenge_event(source: &str, phone: &str) -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../events/challenge.json");
    let mut event: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    event["requestContext"]["http"]["sourceIp"] = source.into();
    event["body"] = json!({ "phone": phone }).to_string().into();
    event
}

/// X61: one network asks for few codes, to whatever numbers and from whichever of its addresses.
#[tokio::test]
async fn x61_a_burst_from_one_network_stops() {
    let service = service_at_the_beginning_of(3_600).await;
    let phones: BTreeSet<_> = (0..40).map(|number| format!("+49152{number:04}0001")).collect();
    let ask = async |source: String, phone: &str| {
        let event = challenge_event(&source, phone);
        let reply = service.runner.invoke("challenge", event).await.unwrap();
        reply["statusCode"].as_u64().unwrap()
    };
    let mut sent = 0;
    for (number, phone) in phones.iter().enumerate() {
        let source = format!("2001:db8:7:8::{number:x}");
        sent += usize::from(ask(source, phone).await == 200);
    }
    assert_eq!((sent, service.runner.outbox().len()), (30, 30));
    assert_eq!(ask("2001:db8:7:9::1".into(), "+4915298765432").await, 200);
}

/// X61: no day costs more than its ceiling, wherever requests come from.
#[tokio::test]
async fn x61_the_daily_ceiling_holds() {
    let mut config = waxwing_local::runner::RunnerConfig::default();
    config.parameters.insert("SmsDailyCeiling".into(), "3".into());
    let service = Service::start_with(config).await;
    begin(&service, 24 * 60 * 60);
    let phones: Vec<_> = (0..10).map(|number| format!("+49152{number:04}0001")).collect();
    let answers = join_all(phones.iter().map(|phone| challenge(&service, phone))).await;
    let sent = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!((sent, service.runner.outbox().len()), (3, 3));
    service.let_time_pass(24 * 60 * 60);
    assert_eq!(
        challenge(&service, "+4915298765432").await.status,
        200,
        "the next day"
    );
}

/// X47, X48: before a code is known, nothing tells whether a number has an account.
#[tokio::test]
async fn x48_a_challenge_does_not_tell_who_has_an_account() {
    let service = Service::start().await;
    let member = Registrant::new(&some_number(), 0);
    member.verify(&service).await;
    assert_eq!(member.register(&service).await.status, 200);
    service.let_time_pass(60 * 60 * 48);
    let (known, unknown) = (
        challenge(&service, &member.phone).await,
        challenge(&service, &some_number()).await,
    );
    assert_eq!((known.status, &known.body), (unknown.status, &unknown.body));
    let guess = wrong(&code(&service, &member.phone));
    let refused = confirm(&service, &member.phone, &guess, ticket(1)).await;
    let nobody = confirm(&service, &some_number(), &guess, ticket(1)).await;
    assert_eq!((refused.status, &refused.body), (nobody.status, &nobody.body));
}

/// X72, X82: whatever stands in the place of a number, a code or a ticket, it is refused and nothing is written.
#[tokio::test]
async fn x72_what_is_no_number_code_or_ticket_is_refused() {
    let service = Service::start().await;
    let long = "9".repeat(2_048);
    let numbers = [
        "",
        "+",
        "#",
        "+49#1521234567",
        "+49152\u{0}1234567",
        "+49152🦜",
        "+499001234567",
        &long,
    ];
    for phone in numbers {
        let refused = challenge(&service, phone).await;
        assert_eq!(refused.status, 400, "{phone}: {refused:?}");
        let refused = confirm(&service, phone, "123456", ticket(1)).await;
        assert_eq!(refused.status, 400, "{phone}: {refused:?}");
    }
    for (code, ticket) in [
        ("12345", "AAAAAAAAAAAAAAAAAAAAAA"),
        ("123456", "#"),
        ("123456", &long),
    ] {
        let body = json!({ "phone": "+491521234567", "code": code, "ticket": ticket });
        let refused = post(&service, "/v1/verification/confirm", &body).await;
        assert_eq!((refused.status, refused.code()), (400, "malformed"));
    }
    for table in ["CodesTable", "TicketsTable", "LimitsTable"] {
        assert!(service.items(table).await.is_empty(), "{table}");
    }
    assert!(service.runner.outbox().is_empty());
}

/// X86: neither tables nor logs hold a number, a code or a ticket.
#[tokio::test]
async fn x86_numbers_codes_and_tickets_are_nowhere_in_the_clear() {
    let mut config = waxwing_local::runner::RunnerConfig::default();
    config.parameters.insert("LogLevel".into(), "debug".into());
    let service = Service::start_with(config).await;
    let someone = Registrant::new(&some_number(), 0);
    someone.verify(&service).await;
    someone.register(&service).await;
    let code = code(&service, &someone.phone);
    let mut seen = service.runner.logs().join("\n");
    for table in [
        "CodesTable",
        "TicketsTable",
        "LimitsTable",
        "PhonesTable",
        "AccountsTable",
    ] {
        let items = service.items(table).await;
        assert!(!items.is_empty(), "{table}");
        for item in items {
            let values = item.values();
            let bytes = values.filter_map(|value| value.as_b().ok());
            assert!(
                !bytes
                    .clone()
                    .any(|value| value.as_ref() == someone.ticket.as_bytes()),
                "{table}"
            );
            seen.extend(bytes.map(|value| String::from_utf8_lossy(value.as_ref()).into_owned()));
        }
    }
    for secret in [&someone.phone[3..], code.as_str()] {
        assert!(!seen.contains(secret), "{secret}");
    }
}
