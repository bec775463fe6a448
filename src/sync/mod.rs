//! The one door to atomics, cells and thread-local storage.
//!
//! Everything the models must see goes through the names exported here: `std` in a shipped build,
//! `loom` under the private cfg `sessile_loom`, `shuttle` under `sessile_shuttle`, `std` with every
//! access counted under `sessile_counts`. All backends offer the same list, so the source that is
//! model-checked, and counted, is the source that ships. Data that no proof rests on (counters,
//! dates, hints) uses [`untracked`], which no model sees: loom would spend its search on
//! reorderings that cannot matter.
#![allow(clippy::disallowed_types, reason = "this is the module that owns them")]

#[cfg(not(any(sessile_loom, sessile_shuttle)))]
#[cfg_attr(sessile_counts, allow(unused_imports, reason = "the counts have atomics of their own"))]
mod std;
#[cfg(not(any(sessile_loom, sessile_shuttle, sessile_counts)))]
pub(crate) use self::std::*;

#[cfg(sessile_counts)]
pub(crate) mod counts;
#[cfg(sessile_counts)]
pub(crate) use self::counts::*;

#[cfg(sessile_loom)]
mod loom;
#[cfg(sessile_loom)]
pub(crate) use self::loom::*;

#[cfg(sessile_shuttle)]
mod shuttle;
#[cfg(sessile_shuttle)]
pub(crate) use self::shuttle::*;

/// Whether somebody else schedules our threads: then runs must repeat exactly, and smaller tables
/// meet more races.
pub(crate) const MODELLED: bool = cfg!(any(sessile_loom, sessile_shuttle));

#[cfg(any(sessile_loom, sessile_shuttle))]
pub(crate) mod search;

mod single_writer;
pub(crate) use self::single_writer::SingleWriterCounter;

mod try_lock;
pub(crate) use self::try_lock::TryLock;

mod settings_cell;
pub(crate) use self::settings_cell::ArcCell;

/// Makes every earlier `Release` decrement of a count visible before the memory it guards is freed.
///
/// ThreadSanitizer does not understand fences; under it an acquire load of the count does the same
/// work.
#[inline]
pub(crate) fn acquire_count(count: &AtomicUsize) {
    if cfg!(crossbeam_sanitize_thread) {
        // ORDERING: Acquire, see the fence below. Invisible: this branch exists for ThreadSanitizer
        // alone.
        count.load(Ordering::Acquire);
    } else {
        // ORDERING: Acquire fence; pairs with the Release decrement in `Session::drop`. Model:
        // `count_last_drop`.
        fence(Ordering::Acquire);
    }
}

/// Atomics that carry no proof: each use says why.
pub(crate) mod untracked {
    #[cfg(sessile_counts)]
    pub(crate) use super::counts::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
    #[cfg(not(sessile_counts))]
    pub(crate) use ::std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
}
