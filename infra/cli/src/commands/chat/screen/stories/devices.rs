//! Stories of a person with two devices.

use super::*;

#[tokio::test]
async fn a_person_links_a_second_device_from_the_screen_and_ends_it_there() {
    let stage = Stage::set().await;
    let mut alice = stage.seat("alice").await;
    alice.sees(" connected ").await;
    alice.types("<c-o>").await;
    alice.sees("device 1 (this one)").await;
    // What does not fit is shown as text. No code of this length fits into 20 lines.
    alice.session.take(Happening::Resized(Size::new(80, 20))).await;
    alice.types("l").await;
    alice.sees("waxwing:link?").await;
    alice.session.take(Happening::Resized(Size::new(80, 30))).await;
    alice.until("a code", has_a_code).await;
    let code = alice.code();
    let laptop = Client::open(stage.config()).await.unwrap();
    let linking = tokio::spawn({
        let laptop = laptop.clone();
        async move { laptop.link(&code, &DeviceName::new("laptop").unwrap()).await }
    });
    let asks = alice.sees("“laptop” asks to be linked.").await;
    let fingerprint = laptop.fingerprint().unwrap().unwrap();
    assert!(asks.contains(&fingerprint), "{asks}");
    assert!(
        !has_a_code(&alice.looks().await),
        "a code that was used is hidden"
    );
    alice.types("a").await;
    linking.await.unwrap().unwrap();
    alice.sees("The new device has its answer.").await;
    alice.types("<esc><c-o>").await;
    alice.sees("device 2").await;

    alice.types("<down>e").await;
    alice.sees("End device 2?").await;
    alice.types("y").await;
    alice
        .until("gone", |screen| !as_text(screen).contains("device 2"))
        .await;
    assert_eq!(alice.device.client.devices().unwrap().len(), 1);
}

#[tokio::test]
async fn a_new_device_takes_what_the_first_gives_it_and_both_screens_say_so() {
    let stage = Stage::set().await;
    let (mut alice, mut bob) = (stage.seat("alice").await, stage.seat("bob").await);
    alice.types("<c-n>bob<enter>Before the laptop.<enter>").await;
    bob.sees("Before the laptop.").await;
    bob.types("<enter>So was this.<enter>").await;
    alice.sees("So was this.").await;

    let laptop = stage.linked(&mut alice, "laptop").await;
    alice.sees("Give device 2 the messages that are here?").await;
    let mut laptop = Seat::before(&stage, "alice", alice.number.clone(), laptop).await;
    laptop.sees(" connected ").await;
    let empty = laptop.looks().await;
    assert!(as_text(&empty).contains("Nobody yet."), "nothing comes unasked");
    alice.types("a").await;
    alice.sees("Device 2 was offered 2 messages").await;
    laptop.sees("Device 1 offers 2 messages. Ctrl-O answers").await;

    // It is not asked in vain when the app was started anew in between.
    let (device, number) = (laptop.device, laptop.number);
    laptop.session.end().await;
    let mut laptop = Seat::before(&stage, "alice", number, device.client).await;
    laptop.sees("Device 1 offers 2 messages. Ctrl-O answers").await;
    laptop.types("<c-o>").await;
    laptop.sees("y take them").await;
    laptop.types("y").await;
    laptop.sees("What device 1 offered is here: 2 messages.").await;
    laptop.types("<esc><esc><enter>").await;
    let here = laptop.sees("Before the laptop.").await;
    assert!(here.contains("So was this.") && here.contains("bob"), "{here}");
    alice.sees("Device 2 has what it was offered: 2 messages.").await;
}
