//! Functions at the same time: what is right stays right, and what is wrong only then is caught.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use waxwing_prove::{
    controls::Control,
    interleave::{Found, Function, Play, Scene, Schedule, exhaust, replay},
};

async fn exhausted(scene: Scene, functions: &[Function], control: Option<Control>) -> Found {
    let play = Play {
        scene,
        functions: functions.to_vec(),
        seed: 1,
        control,
    };
    exhaust(&play, None).await.unwrap()
}

/// I1, I2, I5, I6, I8, I10, I14: whoever goes first at whichever call, they hold. A part of `cargo waxwing interleave`.
#[tokio::test(start_paused = true)]
async fn functions_at_the_same_time_keep_every_promise_in_every_order() {
    use Function::{Ack, Claim, Connect, Disconnect, Resend, Revoke, Send, Upload};
    for (scene, functions) in [
        (Scene::Away, [Send, Connect]),
        (Scene::Connected, [Send, Disconnect]),
        (Scene::Connected, [Connect, Disconnect]),
        (Scene::Connected, [Resend, Ack]),
        (Scene::Connected, [Claim, Claim]),
        (Scene::Connected, [Upload, Upload]),
        (Scene::Away, [Send, Revoke]),
    ] {
        let found = exhausted(scene, &functions, None).await;
        assert!(found.broken.is_none(), "{found:#?}");
        assert!(found.is_exhausted && found.schedules > 1, "{found:#?}");
    }
}

/// What the search finds of `RaisesBlindly`, the 327th schedule of a claim and two uploads: a minute, so it is played alone.
const RAISES_BLINDLY: &str = "0000011111122222222";

#[tokio::test(start_paused = true)]
async fn every_service_that_only_a_race_betrays_is_caught() {
    for wrong in Control::RACES {
        let (scene, functions, promise) = wrong.betrayed_by().unwrap();
        let broken = if wrong == Control::RaisesBlindly {
            let play = Play {
                scene,
                functions: functions.to_vec(),
                seed: 1,
                control: Some(wrong),
            };
            Some(replay(&play, &RAISES_BLINDLY.parse().unwrap()).await.unwrap())
        } else {
            exhausted(scene, functions, Some(wrong)).await.broken
        };
        let violations = broken.unwrap().violations;
        let is_caught = violations.iter().any(|violation| violation.promise == promise);
        assert!(is_caught, "{wrong:?} broke no {promise}: {violations:#?}");
    }
}

#[tokio::test(start_paused = true)]
#[ignore = "plays hundreds of schedules, for a minute"]
async fn uploads_that_raise_the_highest_id_blindly_are_found_by_the_search() {
    let (scene, functions, promise) = Control::RaisesBlindly.betrayed_by().unwrap();
    let found = exhausted(scene, functions, Some(Control::RaisesBlindly)).await;
    assert_eq!(found.broken.unwrap().violations[0].promise, promise);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_broke_a_promise_breaks_it_again_and_a_right_service_keeps_it() {
    let (scene, functions, _) = Control::LooksBeforePut.betrayed_by().unwrap();
    let found = exhausted(scene, functions, Some(Control::LooksBeforePut)).await;
    let broken = found.broken.unwrap();
    let mut play = Play {
        scene,
        functions: functions.to_vec(),
        seed: broken.seed,
        control: Some(Control::LooksBeforePut),
    };
    let schedule: Schedule = broken.schedule.to_string().parse().unwrap();
    assert!(schedule.switches() <= 2, "{broken:#?}");
    for _ in 0..2 {
        let again = replay(&play, &schedule).await.unwrap();
        assert_eq!(again.violations, broken.violations);
        assert_eq!(again.steps, broken.steps);
    }
    play.control = None;
    let right = replay(&play, &schedule).await.unwrap();
    assert!(right.violations.is_empty(), "{right:#?}");
}
