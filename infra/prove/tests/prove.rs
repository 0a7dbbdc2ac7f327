//! The crash table as it is committed, and the services that must be caught.

use waxwing_prove::{
    controls::Control,
    crash_table::{control, markdown, single_faults},
};

const COMMITTED: &str = include_str!("../../../docs/crash-table.md");

/// I1, I2, I5, I6, I10, I12, I14: whatever goes wrong at whichever call, they hold.
#[test]
fn every_single_fault_keeps_every_promise_and_the_table_says_so() {
    let cases = single_faults(None, || ()).unwrap();
    let broken: Vec<_> = cases.iter().filter(|case| !case.violations.is_empty()).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    assert_eq!(
        markdown(&cases),
        COMMITTED,
        "`cargo waxwing crash-table --write` brings docs/crash-table.md up to date"
    );
}

#[tokio::test(start_paused = true)]
async fn every_wrong_service_is_caught_by_the_crash_table() {
    for wrong in Control::ALONE {
        let (function, promise) = wrong.caught_in().unwrap();
        let found = control(wrong, function).await.unwrap();
        let caught = found.iter().any(|violation| violation.promise == promise);
        assert!(caught, "{wrong:?} broke no {promise}: {found:#?}");
    }
}

#[test]
fn every_function_is_in_the_table() {
    for function in waxwing_functions::FUNCTIONS {
        let heading = format!("## `{}`:", function.name);
        assert!(COMMITTED.contains(&heading), "{} has no scenario", function.name);
    }
}
