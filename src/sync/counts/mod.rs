//! The counting backend: the same names over `std`, with every access counted.
//!
//! The atomics are `std`'s in a wrapper of the same layout that tells the [`ledger`] what was done
//! and where it stands in the source. Everything else is the shipped backend's, so the cache
//! behaves as it ships; only slower.

mod atomic;
pub mod ledger;

pub(crate) use self::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, fence};
pub(crate) use super::std::{
    Arc, Lifetime, Ordering, UnsafeCell, relax, thread_local_value, yield_now,
};

/// What models see only if they ask for it is counted like everything else.
pub(crate) mod on_request {
    pub(crate) use super::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize};
}
