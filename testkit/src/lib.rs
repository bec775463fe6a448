//! What the tests, trials, models and fuzzers share, written once.
//!
//! | module | what it has |
//! |---|---|
//! | `ids` | session ids and sessions by number, caches on a manual clock |
//! | `ledger` | payloads that are counted, and notice a second drop |
//! | `whole` | what must hold of a cache whenever no operation is under way |
//! | `hooks` | what a removal hook was told, and a cache that its own hooks can name |
//! | `threads` | threads that race, watch, disturb, and meet at a gate |
//! | `ports` | free ports for servers |
//! | [`histories`] | what threads saw of a cache, and whether that can be |
//! | [`linearizability`] | whether one order explains the history of a key |
//! | [`model`] | the sequential reference model, and the cache beside it |
//! | [`allocator`] | a global allocator that refuses, counts, weighs and searches freed blocks |
//!
//! Everything compiles under the cfgs of the models and of the scheduler as well. What the ledger
//! counts is invisible to both.

pub mod allocator;
pub mod histories;
mod hooks;
mod ids;
mod ledger;
pub mod linearizability;
pub mod model;
mod ports;
mod threads;
mod whole;

pub use fastrand::Rng;
pub use hooks::{Own, Removals};
pub use ids::{START, at, clocked, id, id_of, id_of_byte, number_of, numbers, scaled, session};
pub use ledger::{Ledger, Payload};
pub use ports::free_port;
pub use threads::{End, Gate, Member, disturbed, ended, race, spin_until, watched};
pub use whole::{
    add_patiently, assert_whole, ensure_accounted, ensure_reclaimed, ensure_whole, reclaim, store,
};
