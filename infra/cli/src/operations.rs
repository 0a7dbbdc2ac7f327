//! From the runner's meter to dollars.

use std::collections::BTreeMap;

use serde::Serialize;
use waxwing_cost::{Architecture, Bill, BookError, Operations, PriceBook};
use waxwing_local::meter::MeterSnapshot;

/// What AWS would have billed, counted and in dollars.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// The totals the bill is made of.
    pub totals: Operations,
    /// Invocations of each function.
    pub invocations: BTreeMap<String, u64>,
    /// Invocations that failed or timed out.
    pub function_errors: u64,
    /// Dollars for a million messages like these; none if there were no messages.
    pub dollars_per_million_messages: Option<Dollars>,
}

/// Dollars by service.
#[derive(Clone, Debug, Serialize)]
pub struct Dollars {
    /// Of all services together.
    pub total: f64,
    /// By service and kind of use.
    #[serde(flatten)]
    pub bill: Bill,
    /// The region of the prices.
    pub region: String,
    /// The day of the price list.
    pub prices_of: String,
    /// The processor that the seconds are priced for.
    pub architecture: Architecture,
}

/// Operations for a thousand messages.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PerThousand {
    /// Lambda invocations.
    pub invocations: f64,
    /// Lambda GB-seconds.
    pub gb_seconds: f64,
    /// DynamoDB read request units.
    pub read_units: f64,
    /// DynamoDB write request units.
    pub write_units: f64,
    /// API Gateway WebSocket messages, both directions.
    pub websocket_messages: f64,
}

impl Measured {
    /// The totals for a thousand messages, if they were for `messages`; `None` if that was none.
    pub fn per_thousand(&self, messages: usize) -> Option<PerThousand> {
        let factor = (messages > 0).then(|| 1000.0 / messages as f64)?;
        Some(PerThousand {
            invocations: self.totals.invocations as f64 * factor,
            gb_seconds: self.totals.gb_seconds * factor,
            read_units: self.totals.read_units * factor,
            write_units: self.totals.write_units * factor,
            websocket_messages: self.totals.websocket_messages as f64 * factor,
        })
    }
}

/// What `used` makes of operations, and what a million of `messages` like these would cost by the built-in
/// price book, on the template's default architecture.
///
/// # Errors
/// [`BookError`] if the built-in price book is broken.
pub fn measure(used: &MeterSnapshot, messages: usize) -> Result<Measured, BookError> {
    let totals = operations_of(used);
    let book = PriceBook::built_in()?;
    let architecture = Architecture::default();
    let dollars = waxwing_cost::bill(&book, architecture, &totals)
        .per_million(u64::try_from(messages).unwrap_or(u64::MAX))
        .map(|bill| Dollars {
            total: bill.total(),
            bill,
            region: book.region,
            prices_of: book.date,
            architecture,
        });
    let invocations = used
        .functions
        .iter()
        .map(|(name, function)| (name.clone(), function.invocations));
    Ok(Measured {
        totals,
        invocations: invocations.collect(),
        function_errors: used.functions.values().map(|function| function.errors).sum(),
        dollars_per_million_messages: dollars,
    })
}

/// The totals of a meter. Calls to tables count only if a function made them: what this command itself reads
/// to look into the tables is nobody's bill.
fn operations_of(used: &MeterSnapshot) -> Operations {
    let mut totals = Operations {
        websocket_messages: used.gateway.messages_in + used.gateway.messages_out,
        connection_minutes: used.gateway.connection_minutes(),
        http_requests: used.gateway.http_requests,
        ..Operations::default()
    };
    for (name, function) in &used.functions {
        totals.invocations += function.invocations;
        totals.gb_seconds += Operations::gb_seconds_of(function.billed_ms, function.memory_mb);
        let calls = used.tables.get(name).into_iter().flat_map(BTreeMap::values);
        for call in calls.flat_map(BTreeMap::values) {
            totals.read_units += call.read_units;
            totals.write_units += call.write_units;
        }
    }
    totals
}

#[cfg(test)]
mod tests {
    use waxwing_local::meter::{FunctionUse, GatewayUse, TableUse};

    use super::*;

    fn snapshot() -> MeterSnapshot {
        let function = |invocations, billed_ms| FunctionUse {
            invocations,
            billed_ms,
            memory_mb: 256,
            ..FunctionUse::default()
        };
        let table = |operation: &str, read_units, write_units| {
            let used = TableUse {
                calls: 1,
                read_units,
                write_units,
            };
            BTreeMap::from([(
                String::from("table"),
                BTreeMap::from([(operation.to_owned(), used)]),
            )])
        };
        MeterSnapshot {
            functions: [
                ("send".into(), function(10, 4000)),
                ("ack".into(), function(5, 0)),
            ]
            .into(),
            tables: [
                ("send".into(), table("PutItem", 1.5, 20.0)),
                ("ack".into(), table("BatchWriteItem", 0.0, 10.0)),
                ("somebody else".into(), table("Scan", 1000.0, 1000.0)),
            ]
            .into(),
            gateway: GatewayUse {
                messages_in: 15,
                messages_out: 25,
                connection_ms: 90_000,
                http_requests: 3,
                ..GatewayUse::default()
            },
            ..MeterSnapshot::default()
        }
    }

    #[test]
    fn every_count_of_the_meter_reaches_the_bill_and_calls_by_no_function_do_not() {
        let expected = Operations {
            invocations: 15,
            gb_seconds: 1.0,
            read_units: 1.5,
            write_units: 30.0,
            websocket_messages: 40,
            connection_minutes: 1.5,
            http_requests: 3,
        };
        assert_eq!(operations_of(&snapshot()), expected);
    }

    #[test]
    fn dollars_are_for_a_million_of_the_messages_that_were_sent() {
        let measured = measure(&snapshot(), 10).unwrap();
        let dollars = measured.dollars_per_million_messages.unwrap();
        // 40 WebSocket messages for 10 messages: 4 each, 1.00 a million.
        assert!((dollars.bill.api_gateway.messages - 4.0).abs() < 1e-9);
        assert!((dollars.total - dollars.bill.total()).abs() < 1e-9);
        assert_eq!(measured.invocations["send"], 10);
        assert!(
            measure(&snapshot(), 0)
                .unwrap()
                .dollars_per_million_messages
                .is_none()
        );
    }

    #[test]
    fn a_thousand_messages_take_a_thousand_times_what_one_takes() {
        let measured = measure(&snapshot(), 10).unwrap();
        let thousand = measured.per_thousand(10).unwrap();
        assert_eq!((thousand.invocations, thousand.write_units), (1500.0, 3000.0));
        assert_eq!(measured.per_thousand(0), None);
    }
}
