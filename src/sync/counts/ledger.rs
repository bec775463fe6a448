//! What was counted, by its place in the source.
//!
//! A thread counts its own accesses, and only inside [`of`]: what leads up to a measurement costs
//! little and is not in it.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::Location;

/// What an access does to the line that its word lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Shares it.
    Load,
    /// Takes it, without waiting.
    Store,
    /// Takes it and waits until it is there: an exchange or an addition, whether it succeeds or
    /// not.
    ReadModifyWrite,
    /// Touches no line.
    Fence,
}

/// Where an access stands: the file from the root of the crate, the line and the column.
pub type Place = (&'static str, u32, u32);

/// How often each kind of access was made at each place.
pub type Counts = BTreeMap<(Place, Kind), u64>;

thread_local! {
    static COUNTS: RefCell<Option<Counts>> = const { RefCell::new(None) };
}

/// Runs `f` and counts the accesses that this thread makes meanwhile. Inside itself it would begin
/// anew.
pub fn of<R>(f: impl FnOnce() -> R) -> (R, Counts) {
    let swap = |counts: Option<Counts>| COUNTS.with(|own| own.replace(counts));
    swap(Some(Counts::new()));
    let result = f();
    (result, swap(None).unwrap_or_default())
}

/// Counts an access at the place of the caller's caller.
#[track_caller]
pub(super) fn note(kind: Kind) {
    let location = Location::caller();
    // A thread that is being torn down counts nothing.
    let _ = COUNTS.try_with(|counts| {
        if let Some(counts) = counts.borrow_mut().as_mut() {
            let place = (location.file(), location.line(), location.column());
            *counts.entry((place, kind)).or_insert(0) += 1;
        }
    });
}
