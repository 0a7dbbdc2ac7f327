//! What was done, in the units AWS bills.

use serde::Serialize;

/// Operations of any number of messages, as AWS would count them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Operations {
    /// Lambda invocations, failed ones too.
    pub invocations: u64,
    /// Lambda duration times memory, in GB-seconds: each invocation rounded up to a millisecond, 1 GB =
    /// 1,024 MB.
    pub gb_seconds: f64,
    /// DynamoDB read request units: 4 KB each if read strongly consistent, half a unit if eventually.
    pub read_units: f64,
    /// DynamoDB write request units: 1 KB each.
    pub write_units: f64,
    /// API Gateway WebSocket messages, in and out, each begun 32 KB counted.
    pub websocket_messages: u64,
    /// Minutes of API Gateway WebSocket connections.
    pub connection_minutes: f64,
    /// API Gateway HTTP API requests, each begun 512 KB counted.
    pub http_requests: u64,
}

impl Operations {
    /// GB-seconds of `milliseconds` billed at `memory_mb` MB.
    ///
    /// ```text
    /// GB-s = ms / 1,000 × MB / 1,024
    /// ```
    pub fn gb_seconds_of(milliseconds: u64, memory_mb: u32) -> f64 {
        // Milliseconds stay far below 2⁵³, where f64 stops to be exact.
        #[allow(
            clippy::cast_precision_loss,
            reason = "285,000 years of milliseconds are exact"
        )]
        let milliseconds = milliseconds as f64;
        milliseconds / 1000.0 * f64::from(memory_mb) / 1024.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_second_of_one_gigabyte_is_one_gb_second() {
        assert_eq!(Operations::gb_seconds_of(1000, 1024), 1.0);
        // 4 ms at 256 MB: 0.004 × 0.25.
        assert!((Operations::gb_seconds_of(4, 256) - 0.001).abs() < 1e-15);
    }
}
