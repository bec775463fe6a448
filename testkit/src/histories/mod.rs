//! Histories of a cache: what threads saw of it, and whether that can be.
//!
//! The answers are checked by themselves (`rules`), and per key for an order that explains them all
//! (`split`, and [`linearizability`](crate::linearizability)). An eviction or an expiry is no
//! excuse for a lost session unless the hook saw that very session leave, in time.
#![forbid(unsafe_code)]

mod explain;
mod history;
mod rules;
mod split;

pub use explain::{Violation, verify};
pub use history::{Answer, Call, Departure, Event, History, Log, Object, Rest, Stored};
