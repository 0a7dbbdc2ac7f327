//! The connection breaks in the middle of a drain. I1, I3.

use std::sync::atomic::Ordering;

use scenarios::{
    Network, Phone, Service,
    network::{Verdict, Way},
    until,
};
use serde_json::Value;

#[tokio::test]
async fn a_drain_that_breaks_off_after_each_page_ends_with_everything_shown_once() {
    let service = Service::start().await;
    let is_page = |way, frame: &Value| way == Way::ToClient && frame["type"] == "page";
    // Every other page is the last thing its connection carries.
    let every_other = |before: usize| match before.is_multiple_of(2) {
        true => Verdict::PassThenCut,
        false => Verdict::Pass,
    };
    let (network, pages) = Network::where_some(&service.endpoints(), is_page, every_other).await;
    let alice = Phone::of_a_new_person(&service).await;
    let bob = Phone::registered_behind(&network, &service).await;
    let said: Vec<_> = (0..250)
        .map(|number| format!("page after page, {number}"))
        .collect();
    for text in &said {
        alice.say(&bob, text).await;
    }
    alice.until_accepted().await;
    bob.client.connect();
    bob.until_shown(&alice, said.len()).await;
    until("empty mailbox", async || service.mailbox().await.is_empty()).await;
    assert!(
        pages.load(Ordering::SeqCst) > 2,
        "the drain broke off more than once"
    );
    assert_eq!(bob.texts(&alice), said);
}
