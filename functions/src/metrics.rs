//! One metric an invocation, if the deployment asks for it: a line that CloudWatch reads out of the log.
//!
//! CloudWatch embedded metric format: no call to make and nothing to wait for, but each line is billed as a log
//! and each name as a metric. So it is off unless `METRICS` is `on`; `docs/operations.md` has the price.

use std::time::Duration;

use serde_json::json;

/// Where the metrics are found in CloudWatch.
const NAMESPACE: &str = "Waxwing/Functions";

/// The line of one invocation. It names the function, how long it took and whether it failed; nothing of what it
/// was asked.
pub fn line(function: &str, took: Duration, failed: bool, at_millis: u64) -> String {
    let metrics = json!([
        {"Name": "Duration", "Unit": "Milliseconds"},
        {"Name": "Failed", "Unit": "Count"},
    ]);
    let directive = json!({"Namespace": NAMESPACE, "Dimensions": [["Function"]], "Metrics": metrics});
    let line = json!({
        "_aws": {"Timestamp": at_millis, "CloudWatchMetrics": [directive]},
        "Function": function,
        "Duration": took.as_secs_f64() * 1000.0,
        "Failed": u8::from(failed),
    });
    line.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn every_metric_and_dimension_that_a_line_declares_is_in_it() {
        let line = line("send", Duration::from_micros(1500), true, 1_700_000_000_000);
        assert!(!line.contains('\n'));
        let line: Value = serde_json::from_str(&line).unwrap();
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        for metric in directive["Metrics"].as_array().unwrap() {
            assert!(line[metric["Name"].as_str().unwrap()].is_number(), "{metric}");
        }
        for dimension in directive["Dimensions"][0].as_array().unwrap() {
            assert!(line[dimension.as_str().unwrap()].is_string(), "{dimension}");
        }
        assert_eq!((&line["Duration"], &line["Failed"]), (&json!(1.5), &json!(1)));
    }
}
