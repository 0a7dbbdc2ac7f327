//! What measured operations cost: price book × operations → dollars.
//!
//! Prices are data ([`PriceBook`], `price-book.json`), so that another region or a new price list is another
//! file and no code. Operations come in as plain numbers ([`Operations`]): this crate does not care who
//! counted them. [`bill`](bill::bill) multiplies the two.

mod bill;
mod book;
mod operations;

pub use bill::{ApiGatewayBill, Bill, DynamoDbBill, LambdaBill, bill};
pub use book::{ApiGatewayPrices, Architecture, BookError, DynamoDbPrices, LambdaPrices, Price, PriceBook};
pub use operations::Operations;
