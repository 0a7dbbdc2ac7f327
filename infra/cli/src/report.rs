//! Parts of reports that commands share.

use crate::{console::Console, operations::Measured};

/// A latency for a person; a dash where nothing was measured.
pub fn milliseconds(latency: Option<f64>) -> String {
    latency.map_or_else(|| String::from("–"), |latency| format!("{latency:.1} ms"))
}

/// What AWS would bill, and what a million messages like these would cost.
pub fn say_dollars(console: &Console, measured: &Measured) {
    let totals = &measured.totals;
    let Some(dollars) = &measured.dollars_per_million_messages else {
        return;
    };
    let bill = &dollars.bill;
    console.say(format_args!(
        "\nWhat AWS would bill: operations counted here, dollars for a million messages like these\n\
         ({} list prices of {}, {}; durations are this machine's, busy with all the rest)",
        dollars.region, dollars.prices_of, dollars.architecture,
    ));
    let rows = [
        (
            "Lambda invocations",
            totals.invocations as f64,
            bill.lambda.requests,
        ),
        ("Lambda GB-seconds", totals.gb_seconds, bill.lambda.duration),
        ("DynamoDB write units", totals.write_units, bill.dynamodb.writes),
        ("DynamoDB read units", totals.read_units, bill.dynamodb.reads),
        (
            "WebSocket messages",
            totals.websocket_messages as f64,
            bill.api_gateway.messages,
        ),
        (
            "connection minutes",
            totals.connection_minutes,
            bill.api_gateway.connection_minutes,
        ),
        (
            "HTTP requests",
            totals.http_requests as f64,
            bill.api_gateway.http_requests,
        ),
    ];
    for (what, amount, price) in rows {
        console.say(format_args!("  {what:<22}{amount:>12.1}{price:>10.2} $"));
    }
    console.say(format_args!(
        "  {:<22}{:>12}{:>10.2} $",
        "together", "", dollars.total
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_that_was_not_measured_is_a_dash() {
        assert_eq!(milliseconds(None), "–");
        assert_eq!(milliseconds(Some(12.345)), "12.3 ms");
    }
}
