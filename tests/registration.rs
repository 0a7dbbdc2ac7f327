//! A person gets into an account by phone, and gets it back. R1, R2, X63, X64.

use scenarios::{Phone, Service, people::confirm, within_patience};
use waxwing_client::{Event, Events, Pin, RegisterError, RemovalReason};

/// Waits for an event.
async fn event(events: &mut Events, what: &str, is: impl Fn(&Event) -> bool) -> Event {
    within_patience(what, async {
        loop {
            match events.next().await {
                Some(event) if is(&event) => return event,
                Some(_) => {}
                None => panic!("the client is closed: {what}"),
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_code_that_was_not_sent_confirms_nothing_and_the_right_one_registers() {
    let service = Service::start().await;
    let client = service.client().await;
    let number = service.new_number();
    assert!(matches!(client.register(None).await, Err(RegisterError::NoCode)));
    client.request_code(&number).await.unwrap();
    assert!(matches!(
        client.register(None).await,
        Err(RegisterError::NotConfirmed)
    ));
    let code = service.code_for(&number);
    let wrong = if code.as_str() == "000000" {
        "000001"
    } else {
        "000000"
    };
    let refused = client.confirm(&number, &wrong.parse().unwrap()).await;
    assert!(matches!(refused, Err(RegisterError::Http(_))));
    client.confirm(&number, &code).await.unwrap();
    let address = client.register(None).await.unwrap();
    assert_eq!(
        client.register(None).await.unwrap(),
        address,
        "a repetition changes nothing"
    );
    let devices = client.devices().unwrap();
    assert_eq!(
        devices.iter().map(|device| device.address).collect::<Vec<_>>(),
        [address]
    );
}

#[tokio::test]
async fn x63_a_new_phone_takes_the_account_over_and_the_old_one_is_told() {
    let service = Service::start().await;
    let old = Phone::of_a_new_person(&service).await;
    let laptop = old.link_another(&service).await;
    let mut on_old = old.client.observe().await.unwrap();
    let mut on_laptop = laptop.client.observe().await.unwrap();
    let account = old.account();
    let new = old.registered_anew(&service).await;
    assert_eq!(new.account(), account);
    for events in [&mut on_old, &mut on_laptop] {
        let removed = event(events, "the end of an old device", |event| {
            matches!(event, Event::Removed { .. })
        });
        let expected = Event::Removed {
            reason: RemovalReason::RegisteredAnew,
        };
        assert_eq!(removed.await, expected);
    }
    assert!(old.client.address().is_none() && laptop.client.address().is_none());
    assert_eq!(new.client.devices().unwrap().len(), 1);
}

#[tokio::test]
async fn x63_x65_a_locked_number_is_taken_over_with_the_pin_alone() {
    let service = Service::start().await;
    let alice = Phone::of_a_new_person(&service).await;
    let pin = Pin::new("7240-right").unwrap();
    alice.client.set_lock(&pin).await.unwrap();
    let mut events = alice.client.observe().await.unwrap();

    service.let_time_pass(scenarios::people::CODE_PAUSE_SECONDS);
    let thief = service.client().await;
    let confirmed = confirm(&thief, &service, &alice.number).await;
    assert!(confirmed.has_account && confirmed.locked);
    assert!(matches!(
        thief.register(None).await,
        Err(RegisterError::PinNeeded)
    ));
    let wrong = Pin::new("7240-wrong").unwrap();
    assert!(matches!(
        thief.register(Some(&wrong)).await,
        Err(RegisterError::WrongPin)
    ));
    event(&mut events, "the alarm", |event| {
        *event == Event::RegistrationAttempted
    })
    .await;
    let account = alice.account();

    let address = thief.register(Some(&pin)).await.unwrap();
    assert_eq!(address.account, account);
}
