//! The price book: what one unit of each service costs, where and when, and who says so.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The list that comes with Waxwing.
const BUILT_IN: &str = include_str!("../price-book.json");

/// Why a price book was refused.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The text is not JSON of a price book's shape.
    #[error("this is not a price book: {0}; compare it with infra/cost/price-book.json")]
    Shape(#[from] serde_json::Error),
    /// A price is negative, not finite, or for no units.
    #[error("the price of {unit} must be zero or more dollars for one unit or more")]
    Price {
        /// What it is the price of.
        unit: String,
    },
}

/// Prices of one region on one day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceBook {
    /// The AWS region.
    pub region: String,
    /// The day the list was written, as YYYY-MM-DD.
    pub date: String,
    /// What the prices hold and leave out.
    pub note: String,
    /// Lambda.
    pub lambda: LambdaPrices,
    /// DynamoDB.
    pub dynamodb: DynamoDbPrices,
    /// API Gateway.
    pub api_gateway: ApiGatewayPrices,
}

/// Prices of Lambda.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LambdaPrices {
    /// An invocation.
    pub requests: Price,
    /// A GB-second on arm64.
    pub arm64_gb_seconds: Price,
    /// A GB-second on x86_64.
    pub x86_64_gb_seconds: Price,
}

/// Prices of DynamoDB, on demand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DynamoDbPrices {
    /// A write request unit.
    pub write_units: Price,
    /// A read request unit.
    pub read_units: Price,
}

/// Prices of API Gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiGatewayPrices {
    /// A WebSocket message.
    pub websocket_messages: Price,
    /// A minute of a WebSocket connection.
    pub connection_minutes: Price,
    /// A request to an HTTP API.
    pub http_requests: Price,
}

/// What something costs, and where that is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Dollars for `per` units.
    pub dollars: f64,
    /// How many units.
    pub per: u64,
    /// What a unit is, for a reader.
    pub unit: String,
    /// Where the price is published.
    pub source: String,
}

impl Price {
    /// Dollars for `units` units.
    pub fn of(&self, units: f64) -> f64 {
        self.dollars * units / self.per as f64
    }

    fn is_sound(&self) -> bool {
        self.dollars.is_finite() && self.dollars >= 0.0 && self.per > 0
    }
}

/// The processor that the functions are built for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// Graviton: the template's default, a fifth cheaper by the second.
    #[default]
    Arm64,
    /// Intel and AMD.
    X86_64,
}

impl fmt::Display for Architecture {
    /// As the template writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Arm64 => "arm64",
            Self::X86_64 => "x86_64",
        })
    }
}

impl PriceBook {
    /// The list that comes with Waxwing: us-east-1, list prices.
    ///
    /// # Errors
    /// As [`parse`](Self::parse); the built-in list passes, and a test says so.
    pub fn built_in() -> Result<Self, BookError> {
        Self::parse(BUILT_IN)
    }

    /// Reads a price book from JSON.
    ///
    /// # Errors
    /// [`BookError::Shape`] if a price is missing or unknown, [`BookError::Price`] if one makes no sense.
    pub fn parse(json: &str) -> Result<Self, BookError> {
        let book: Self = serde_json::from_str(json)?;
        if let Some(price) = book.prices().iter().find(|price| !price.is_sound()) {
            return Err(BookError::Price {
                unit: price.unit.clone(),
            });
        }
        Ok(book)
    }

    /// Every price, for those who print the list.
    pub fn prices(&self) -> [&Price; 8] {
        [
            &self.lambda.requests,
            &self.lambda.arm64_gb_seconds,
            &self.lambda.x86_64_gb_seconds,
            &self.dynamodb.write_units,
            &self.dynamodb.read_units,
            &self.api_gateway.websocket_messages,
            &self.api_gateway.connection_minutes,
            &self.api_gateway.http_requests,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_list_names_region_day_and_a_source_for_each_price() {
        let book = PriceBook::built_in().unwrap();
        assert_eq!(book.region, "us-east-1");
        assert_eq!(book.date.len(), "2026-01-01".len());
        for price in book.prices() {
            assert!(price.source.starts_with("https://aws.amazon.com/"), "{price:?}");
        }
    }

    #[test]
    fn prices_are_those_since_the_cut_of_november_2024() {
        let book = PriceBook::built_in().unwrap();
        assert_eq!(book.dynamodb.write_units.of(1e6), 0.625);
        assert_eq!(book.dynamodb.read_units.of(1e6), 0.125);
    }

    #[test]
    fn a_list_with_a_senseless_price_is_refused() {
        for (from, to) in [
            ("\"dollars\": 0.25", "\"dollars\": -0.25"),
            ("\"per\": 1000000", "\"per\": 0"),
        ] {
            let json = BUILT_IN.replacen(from, to, 1);
            assert_ne!(json, BUILT_IN);
            assert!(
                matches!(PriceBook::parse(&json), Err(BookError::Price { .. })),
                "{to}"
            );
        }
    }

    #[test]
    fn a_list_with_a_missing_or_an_unknown_price_is_refused() {
        let missing = BUILT_IN.replace("\"read_units\"", "\"reads\"");
        let unknown = BUILT_IN.replace("\"note\"", "\"vat\": 1, \"note\"");
        for json in [missing, unknown, String::from("{}"), String::new()] {
            assert!(matches!(PriceBook::parse(&json), Err(BookError::Shape(_))));
        }
    }
}
