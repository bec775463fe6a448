//! Panics of user code that must go no further.
#![forbid(unsafe_code)]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Drops what a panic carried. That may panic in its own drop; there is nothing sensible to do
/// about a second one.
pub(crate) fn discard(carried: Box<dyn Any + Send>) {
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(carried)));
    std::mem::forget(dropped);
}
