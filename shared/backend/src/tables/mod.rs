//! The tables: one noun a file, with its key and attribute names on top. Nothing outside calls DynamoDB.
//!
//! Attribute names are one letter where the item is written often: DynamoDB bills names with every item.
//! Every expression is a constant; whatever comes from outside travels as a typed value, never as text of an
//! expression or part of a joined key. Reads are strongly consistent: each of them decides something.

pub mod accounts;
pub mod codes;
pub mod devices;
pub mod keys;
pub mod limits;
pub mod links;
pub mod locks;
pub mod mailbox;
pub mod phones;
pub mod prekeys;
pub mod tickets;

pub(crate) mod database;
pub(crate) mod item;
