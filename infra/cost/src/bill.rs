//! The bill: operations times prices, by service.

use serde::Serialize;

use crate::{
    operations::Operations,
    prices::{Architecture, PriceBook},
};

/// What `operations` cost, in dollars, with the functions on `architecture`.
pub fn bill(book: &PriceBook, architecture: Architecture, operations: &Operations) -> Bill {
    let gb_second = book.gb_seconds(architecture);
    Bill {
        lambda: LambdaBill {
            requests: book.lambda.requests.of(operations.invocations as f64),
            duration: gb_second.of(operations.gb_seconds),
        },
        dynamodb: DynamoDbBill {
            writes: book.dynamodb.write_units.of(operations.write_units),
            reads: book.dynamodb.read_units.of(operations.read_units),
        },
        api_gateway: ApiGatewayBill {
            messages: book
                .api_gateway
                .websocket_messages
                .of(operations.websocket_messages as f64),
            connection_minutes: book
                .api_gateway
                .connection_minutes
                .of(operations.connection_minutes),
            http_requests: book.api_gateway.http_requests.of(operations.http_requests as f64),
        },
    }
}

/// Dollars by service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Bill {
    /// Lambda.
    pub lambda: LambdaBill,
    /// DynamoDB.
    pub dynamodb: DynamoDbBill,
    /// API Gateway.
    pub api_gateway: ApiGatewayBill,
}

/// Dollars for Lambda.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct LambdaBill {
    /// For invocations.
    pub requests: f64,
    /// For GB-seconds.
    pub duration: f64,
}

/// Dollars for DynamoDB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct DynamoDbBill {
    /// For write request units.
    pub writes: f64,
    /// For read request units.
    pub reads: f64,
}

/// Dollars for API Gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ApiGatewayBill {
    /// For WebSocket messages.
    pub messages: f64,
    /// For minutes of WebSocket connections.
    pub connection_minutes: f64,
    /// For HTTP API requests.
    pub http_requests: f64,
}

impl LambdaBill {
    /// Dollars for Lambda in all.
    pub fn total(&self) -> f64 {
        self.requests + self.duration
    }
}

impl DynamoDbBill {
    /// Dollars for DynamoDB in all.
    pub fn total(&self) -> f64 {
        self.writes + self.reads
    }
}

impl ApiGatewayBill {
    /// Dollars for API Gateway in all.
    pub fn total(&self) -> f64 {
        self.messages + self.connection_minutes + self.http_requests
    }
}

impl Bill {
    /// Dollars in all.
    pub fn total(&self) -> f64 {
        self.lambda.total() + self.dynamodb.total() + self.api_gateway.total()
    }

    /// The same bill for a million messages, if it was for `messages`; `None` if that was none.
    pub fn per_million(&self, messages: u64) -> Option<Self> {
        let factor = (messages > 0).then(|| 1e6 / messages as f64)?;
        Some(Self {
            lambda: LambdaBill {
                requests: self.lambda.requests * factor,
                duration: self.lambda.duration * factor,
            },
            dynamodb: DynamoDbBill {
                writes: self.dynamodb.writes * factor,
                reads: self.dynamodb.reads * factor,
            },
            api_gateway: ApiGatewayBill {
                messages: self.api_gateway.messages * factor,
                connection_minutes: self.api_gateway.connection_minutes * factor,
                http_requests: self.api_gateway.http_requests * factor,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cent is 10 000 of these: rounding of f64 must not come near.
    const TINY: f64 = 1e-9;

    fn billed(architecture: Architecture, operations: &Operations) -> Bill {
        bill(&PriceBook::built_in().unwrap(), architecture, operations)
    }

    /// By hand, for a million messages to one connected device, each one `send` and one `ack` invocation of
    /// 4 ms at 256 MB, one write unit to put and one to delete, one read unit for the recipient's devices:
    ///
    /// | what | count | price | dollars |
    /// |---|---|---|---|
    /// | invocations | 2 M | 0.20 / M | 0.40 |
    /// | GB-seconds | 2 M × 0.004 s × 0.25 GB = 2,000 | 0.0000133334 | 0.0266668 |
    /// | write units | 2 M | 0.625 / M | 1.25 |
    /// | read units | 1 M | 0.125 / M | 0.125 |
    /// | WebSocket messages: send, accepted, delivery, ack, acked | 5 M | 1.00 / M | 5.00 |
    #[test]
    fn a_million_online_messages_cost_what_was_computed_by_hand() {
        let operations = Operations {
            invocations: 2_000_000,
            gb_seconds: 2_000_000.0 * Operations::gb_seconds_of(4, 256),
            write_units: 2_000_000.0,
            read_units: 1_000_000.0,
            websocket_messages: 5_000_000,
            ..Operations::default()
        };
        let bill = billed(Architecture::Arm64, &operations);
        assert!((bill.lambda.requests - 0.40).abs() < TINY);
        assert!((bill.lambda.duration - 0.026_666_8).abs() < TINY);
        assert!((bill.dynamodb.writes - 1.25).abs() < TINY);
        assert!((bill.dynamodb.reads - 0.125).abs() < TINY);
        assert!((bill.api_gateway.messages - 5.0).abs() < TINY);
        assert!((bill.total() - 6.801_666_8).abs() < TINY);
    }

    /// By hand: 1,000 devices connected for 30 days are 1,000 × 43,200 minutes = 43.2 M, at 0.25 a million
    /// 10.80; 3,000 registrations over HTTP at 1.00 a million are 0.003.
    #[test]
    fn a_month_of_connections_costs_what_was_computed_by_hand() {
        let operations = Operations {
            connection_minutes: 43_200_000.0,
            http_requests: 3_000,
            ..Operations::default()
        };
        let bill = billed(Architecture::Arm64, &operations);
        assert!((bill.api_gateway.connection_minutes - 10.8).abs() < TINY);
        assert!((bill.api_gateway.http_requests - 0.003).abs() < TINY);
        assert!((bill.total() - 10.803).abs() < TINY);
    }

    /// By hand: 400 GB-seconds are 0.00533336 on arm64 and 0.00666668 on x86_64.
    #[test]
    fn the_architecture_decides_the_price_of_a_second_only() {
        let operations = Operations {
            invocations: 10,
            gb_seconds: 400.0,
            ..Operations::default()
        };
        let arm = billed(Architecture::Arm64, &operations);
        let intel = billed(Architecture::X86_64, &operations);
        assert!((arm.lambda.duration - 0.005_333_36).abs() < TINY);
        assert!((intel.lambda.duration - 0.006_666_68).abs() < TINY);
        assert_eq!(arm.lambda.requests, intel.lambda.requests);
    }

    #[test]
    fn per_million_scales_every_line_and_knows_no_messages_as_none() {
        let operations = Operations {
            invocations: 4,
            gb_seconds: 3.0,
            read_units: 2.5,
            write_units: 7.0,
            websocket_messages: 5,
            connection_minutes: 11.0,
            http_requests: 13,
        };
        let bill = billed(Architecture::Arm64, &operations);
        let scaled = bill.per_million(500).unwrap();
        assert!((scaled.total() - bill.total() * 2000.0).abs() < TINY);
        assert!((scaled.dynamodb.reads - bill.dynamodb.reads * 2000.0).abs() < TINY);
        assert_eq!(bill.per_million(0), None);
    }
}
