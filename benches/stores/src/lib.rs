//! Every store that Sessile is measured against, behind one trait, and what is done to them.
//!
//! `store` says what a store must do and what it may keep, `peers` and `floors` are those who do
//! it, `workloads` is what is done to them, operation by operation. Whoever measures gives a
//! `Meter` to a workload: the program `compare` takes times, `counts` has its operations traced.

#![allow(missing_debug_implementations, reason = "stores are measured, not shown")]

pub mod floors;
pub mod ids;
pub mod peers;
mod sample;
pub mod store;
pub mod throttle;
pub mod workloads;

pub use sample::{Job, Sample};
