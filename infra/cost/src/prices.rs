//! The price book: what one unit of each service costs, where and when, and who says so.
//!
//! Prices are data: `prices/REGION.toml` in this crate, or any file of the same shape. Another region or a new
//! price list is another file and no code.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The lists that come with Waxwing, the default first.
const BUILT_IN: [(&str, &str); 2] = [
    ("us-east-1", include_str!("../prices/us-east-1.toml")),
    ("eu-west-1", include_str!("../prices/eu-west-1.toml")),
];

/// Why a price book was refused.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The text is not TOML of a price book's shape.
    #[error("this is not a price book:\n{0}compare it with infra/cost/prices/us-east-1.toml")]
    Shape(#[from] toml::de::Error),
    /// A price is negative, not finite, for no units, or its tiers do not follow one another.
    #[error(
        "the price of one {unit} makes no sense: it needs zero or more dollars for one unit or more, and tiers that \
         rise and end in one without up_to"
    )]
    Price {
        /// What it is the price of.
        unit: String,
    },
    /// No list of this region comes with Waxwing.
    #[error("there is no price list of {region} here, only of {known}; copy one, correct it, and give it with --prices FILE",
        known = regions().collect::<Vec<_>>().join(", "))]
    Region {
        /// The region asked for.
        region: String,
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
    /// SNS.
    pub sns: SnsPrices,
    /// CloudWatch Logs.
    pub logs: LogsPrices,
    /// Data transfer.
    pub transfer: TransferPrices,
    /// S3.
    pub s3: S3Prices,
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

/// Prices of DynamoDB.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DynamoDbPrices {
    /// A write request unit, on demand.
    pub write_units: Price,
    /// A read request unit, on demand.
    pub read_units: Price,
    /// An hour of a write capacity unit, provisioned.
    pub write_capacity_hours: Price,
    /// An hour of a read capacity unit, provisioned.
    pub read_capacity_hours: Price,
    /// A GB stored for a month.
    pub storage: Price,
    /// A GB under point-in-time recovery for a month.
    pub backup: Price,
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

/// Prices of SNS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnsPrices {
    /// A push notification.
    pub pushes: Price,
    /// A text message.
    pub sms: Price,
}

/// Prices of CloudWatch Logs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogsPrices {
    /// A GB taken in.
    pub ingested: Price,
}

/// Prices of data transfer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferPrices {
    /// A GB to the internet.
    pub out: Price,
}

/// Prices of S3.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Prices {
    /// A PUT request.
    pub puts: Price,
    /// A GET request.
    pub gets: Price,
    /// A GB stored for a month.
    pub storage: Price,
}

/// What something costs, and where that is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// What a unit is, for a reader.
    pub unit: String,
    /// How many units the dollars are for.
    pub per: u64,
    /// Dollars by the month's units, the first units first.
    pub tiers: Vec<Tier>,
    /// Units of every month that cost nothing.
    #[serde(default)]
    pub free: f64,
    /// Where the price is published.
    pub source: String,
    /// What the figure was compared with; absent if with nothing.
    #[serde(default)]
    pub checked: Option<String>,
}

/// Part of a month's units.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// The unit the tier ends with; absent for the last one.
    #[serde(default)]
    pub up_to: Option<f64>,
    /// Dollars for [`Price::per`] units.
    pub dollars: f64,
}

impl Price {
    /// Dollars for `units` units of one month, tier by tier, without the free allowance.
    pub fn of(&self, units: f64) -> f64 {
        let mut dollars = 0.0;
        let mut begin = 0.0;
        for tier in &self.tiers {
            let end = tier.up_to.unwrap_or(f64::INFINITY).min(units);
            dollars += (end - begin).max(0.0) * tier.dollars;
            begin = tier.up_to.unwrap_or(f64::INFINITY);
        }
        dollars / self.per as f64
    }

    /// Dollars for `units` units of one month after the free allowance.
    pub fn of_beyond_free(&self, units: f64) -> f64 {
        // What is free comes off the beginning of the first tier.
        self.of((units - self.free).max(0.0))
    }

    /// Dollars for a million units at the price of the first tier.
    pub fn per_million(&self) -> f64 {
        self.tiers.first().map_or(0.0, |tier| tier.dollars) * 1e6 / self.per as f64
    }

    fn is_sound(&self) -> bool {
        let dollars = |tier: &Tier| tier.dollars.is_finite() && tier.dollars >= 0.0;
        let ends: Vec<_> = self.tiers.iter().map(|tier| tier.up_to).collect();
        let (last, before) = match ends.split_last() {
            Some((last, before)) => (last, before),
            None => return false,
        };
        let rise = before
            .iter()
            .try_fold(0.0, |begin, end| end.filter(|end| *end > begin))
            .is_some();
        self.per > 0
            && self.free.is_finite()
            && self.free >= 0.0
            && self.tiers.iter().all(dollars)
            && last.is_none()
            && rise
    }
}

/// The processor that the functions are built for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// Graviton: the template's default, a fifth cheaper by the second.
    #[default]
    Arm64,
    /// Intel and AMD.
    #[serde(rename = "x86_64")]
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

/// The regions whose prices come with Waxwing, the default first.
pub fn regions() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(region, _)| *region)
}

impl PriceBook {
    /// The default list that comes with Waxwing: us-east-1.
    ///
    /// # Errors
    /// As [`parse`](Self::parse); the built-in lists pass, and a test says so.
    pub fn built_in() -> Result<Self, BookError> {
        Self::of_region("us-east-1")
    }

    /// The list of a region, if one comes with Waxwing.
    ///
    /// # Errors
    /// [`BookError::Region`] if none does.
    pub fn of_region(region: &str) -> Result<Self, BookError> {
        let found = BUILT_IN.iter().find(|(name, _)| *name == region);
        let (_, text) = found.ok_or_else(|| BookError::Region {
            region: region.to_owned(),
        })?;
        Self::parse(text)
    }

    /// Reads a price book from TOML.
    ///
    /// # Errors
    /// [`BookError::Shape`] if a price is missing or unknown, [`BookError::Price`] if one makes no sense.
    pub fn parse(text: &str) -> Result<Self, BookError> {
        let book: Self = toml::from_str(text)?;
        if let Some(price) = book.prices().iter().find(|price| !price.is_sound()) {
            return Err(BookError::Price {
                unit: price.unit.clone(),
            });
        }
        Ok(book)
    }

    /// Every price, for those who print the list.
    pub fn prices(&self) -> [&Price; 19] {
        [
            &self.lambda.requests,
            &self.lambda.arm64_gb_seconds,
            &self.lambda.x86_64_gb_seconds,
            &self.dynamodb.write_units,
            &self.dynamodb.read_units,
            &self.dynamodb.write_capacity_hours,
            &self.dynamodb.read_capacity_hours,
            &self.dynamodb.storage,
            &self.dynamodb.backup,
            &self.api_gateway.websocket_messages,
            &self.api_gateway.connection_minutes,
            &self.api_gateway.http_requests,
            &self.sns.pushes,
            &self.sns.sms,
            &self.logs.ingested,
            &self.transfer.out,
            &self.s3.puts,
            &self.s3.gets,
            &self.s3.storage,
        ]
    }

    /// A GB-second on `architecture`.
    pub fn gb_seconds(&self, architecture: Architecture) -> &Price {
        match architecture {
            Architecture::Arm64 => &self.lambda.arm64_gb_seconds,
            Architecture::X86_64 => &self.lambda.x86_64_gb_seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = BUILT_IN[0].1;

    fn price(tiers: &str, free: u64) -> Price {
        toml::from_str(&format!(
            "unit = \"x\"\nper = 10\ntiers = {tiers}\nfree = {free}\nsource = \"s\""
        ))
        .unwrap()
    }

    #[test]
    fn every_built_in_list_names_its_region_its_day_and_a_source_for_each_price() {
        for region in regions() {
            let book = PriceBook::of_region(region).unwrap();
            assert_eq!(book.region, region);
            assert_eq!(book.date.len(), "2026-01-01".len());
            for price in book.prices() {
                assert!(price.source.starts_with("https://aws.amazon.com/"), "{price:?}");
            }
        }
    }

    #[test]
    fn prices_are_those_since_the_cut_of_november_2024() {
        let book = PriceBook::built_in().unwrap();
        assert_eq!(book.dynamodb.write_units.of(1e6), 0.625);
        assert_eq!(book.dynamodb.read_units.of(1e6), 0.125);
    }

    /// By hand: 10 units for 3 dollars up to 100, for 2 up to 150, for 1 beyond. 170 units are
    /// 100/10 × 3 + 50/10 × 2 + 20/10 × 1 = 30 + 10 + 2.
    #[test]
    fn a_unit_costs_what_its_tier_says() {
        let tiers = "[{ up_to = 100, dollars = 3 }, { up_to = 150, dollars = 2 }, { dollars = 1 }]";
        let price = price(tiers, 20);
        for (units, dollars) in [(0.0, 0.0), (100.0, 30.0), (150.0, 40.0), (170.0, 42.0)] {
            assert!((price.of(units) - dollars).abs() < 1e-12, "{units}");
        }
        assert!((price.of_beyond_free(120.0) - 30.0).abs() < 1e-12);
        assert_eq!(price.of_beyond_free(20.0), 0.0);
        assert_eq!(price.per_million(), 300_000.0);
    }

    #[test]
    fn a_list_with_a_senseless_price_is_refused() {
        for (from, to) in [
            ("dollars = 0.25 ", "dollars = -0.25 "),
            ("per = 1_000_000", "per = 0"),
            ("up_to = 30_720", "up_to = 10_240"),
            ("tiers = [{ dollars = 0.125 }]", "tiers = []"),
            (
                "tiers = [{ dollars = 0.125 }]",
                "tiers = [{ up_to = 5, dollars = 0.125 }]",
            ),
            ("free = 25", "free = -1"),
        ] {
            let list = LIST.replacen(from, to, 1);
            assert_ne!(list, LIST, "{from}");
            assert!(
                matches!(PriceBook::parse(&list), Err(BookError::Price { .. })),
                "{to}"
            );
        }
    }

    #[test]
    fn a_list_with_a_missing_or_an_unknown_price_is_refused_by_line_and_field() {
        let missing = LIST.replace("[dynamodb.read_units]", "[dynamodb.reads]");
        let unknown = LIST.replace("note = ", "vat = 1\nnote = ");
        for list in [missing.as_str(), unknown.as_str(), "", "{"] {
            assert!(matches!(PriceBook::parse(list), Err(BookError::Shape(_))));
        }
        let error = PriceBook::parse(&unknown).unwrap_err().to_string();
        assert!(error.contains("line 8") && error.contains("vat"), "{error}");
    }

    #[test]
    fn a_region_without_a_list_is_refused_with_those_that_have_one() {
        let error = PriceBook::of_region("mars-1").unwrap_err().to_string();
        assert!(
            error.contains("us-east-1") && error.contains("--prices"),
            "{error}"
        );
    }
}
