//! The connection breaks in the middle of a drain. I1, I3.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use scenarios::{
    Network, Phone, Service,
    network::{Verdict, Way},
    until,
};

#[tokio::test]
async fn a_drain_that_breaks_off_after_each_page_ends_with_everything_shown_once() {
    let service = Service::start().await;
    let pages = Arc::new(AtomicUsize::new(0));
    let count = pages.clone();
    let network = Network::between(&service.endpoints(), move |way, frame| {
        let page = way == Way::ToClient && frame["type"] == "page";
        // Every other page is the last thing its connection carries.
        if page && count.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
            Verdict::PassThenCut
        } else {
            Verdict::Pass
        }
    })
    .await;
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
