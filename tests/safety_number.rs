//! Two people compare keys. K20, K21, X53.

use scenarios::{Phone, Service};
use waxwing_client::Comparison;

#[tokio::test]
async fn x53_two_people_who_know_each_other_s_true_keys_see_the_same_number() {
    let service = Service::start().await;
    let alice = Phone::of_a_new_person(&service).await;
    let bob = Phone::of_a_new_person(&service).await;
    let carol = Phone::of_a_new_person(&service).await;
    let with = async |from: &Phone, to: &Phone| from.client.safety_number(to.account()).await.unwrap();
    let (ours, theirs) = (with(&alice, &bob).await, with(&bob, &alice).await);
    assert_eq!(ours.digits(), theirs.digits());
    assert_eq!(ours.digits().len(), 60);
    assert_eq!(ours.compare_code(&theirs.code()), Ok(Comparison::Match));
    assert_eq!(ours.compare_digits(&theirs.to_string()), Ok(Comparison::Match));
    let others = with(&carol, &bob).await;
    assert_eq!(ours.compare_code(&others.code()), Ok(Comparison::OtherPerson));
    // All devices of a person show the same.
    let laptop = bob.link_another(&service).await;
    assert_eq!(with(&laptop, &alice).await.digits(), ours.digits());
    alice.client.safety_number(alice.account()).await.unwrap_err();
}
