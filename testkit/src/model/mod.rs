//! The cache against a plain sequential model: random operations, every answer, departure and
//! counter compared.
//!
//! Up to fourteen sessions the model predicts who is evicted. Above that it takes the word of the
//! removal hook, checks that it makes sense, and counts evictions before the cache is full.

mod operation;
mod pair;
mod reference;

pub use operation::{Key, Operation, Setting, Terms};
pub use pair::Pair;

/// Capacities of tables of one set, where the model predicts who is evicted.
pub const ONE_SET: &[usize] = &[1, 2, 3, 5, 8, 13, 14];

/// Capacities of tables of any size.
pub const ANY_SIZE: &[usize] = &[15, 16, 17, 20, 1, 14, 15, 31, 32, 33];
