//! Single operations of the cache in their steady state.
//!
//! `operations` says what each operation is, `stock` is the cache that it finds, `measured` is the
//! one place from which operations are run. Three measurements share them: `benches/operations.rs`
//! takes the time by criterion (`cargo bench -p micro`), and the program `counts` runs under
//! callgrind, or counts atomic accesses, for `cargo xtask counts`.

#![forbid(unsafe_code)]

mod measured;
mod operations;
mod stock;

pub use measured::{COUNTED, measure, time};
pub use operations::{Visitor, visit};
pub use stock::Time;

/// OpenSSL's default: a table that fits a cache.
pub const SMALL: usize = 20_480;

/// A table far larger than any cache.
pub const LARGE: usize = 1 << 20;

/// An operation, with the cache that it is done to.
pub trait Operation {
    /// What the table calls it.
    const NAME: &'static str;

    /// The numbers of sessions for which its time is worth taking.
    const SIZES: &'static [usize];

    /// Those for which it does something else, and is counted.
    const COUNTED_SIZES: &'static [usize] = &[SMALL];

    /// Made before: a session to add, an id to look for.
    type Input;

    /// The operation on a new cache for so many sessions.
    fn new(sessions: usize, time: Time) -> Self;

    /// Makes the inputs of the next `n` runs and brings the cache to where they can begin. At most
    /// [`COUNTED`] at a time.
    fn prepare(&mut self, n: usize) -> Vec<Self::Input>;

    /// Runs it once. Whether it did what its name says: a hit, an insertion.
    fn run(&self, input: Self::Input) -> bool;
}
