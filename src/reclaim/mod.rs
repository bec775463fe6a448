//! Deferred destruction: who may still be reading, and who frees what when.
//!
//! A [`Domain`] belongs to one cache. [`Domain::pin`] gives a [`Guard`]; while it lives, nothing
//! that was reachable at its start is freed. [`Guard::retire`] gives up one count of a block that
//! has been unlinked. The protocol:
//!
//! - Each thread has a [`Local`](local::Local) in each domain it used, with a *limbo*: the blocks
//!   it retired, in order. It lies in the domain, and passes to another thread after this one.
//! - Once per batch a sentinel is deferred through crossbeam-epoch. When it runs, everything that
//!   was in the limbo when it was deferred is *ripe*: every guard that could see it is gone. The
//!   sentinel only raises a number.
//! - Ripe blocks are released by the thread that retired them, one for each block it retires, after
//!   its guard is gone. One at a time because bursts overflow the allocator's thread cache:
//!   measured, a burst of 16 costs twice as much per block. Never under a guard because releasing
//!   may run the payload's `Drop`.
//! - A thread that exits gives up what it can; others [tidy](shared::Shared::tidy) the rest.
//! - Leftovers of idle and exited threads are adopted by the others, a few per batch, and by
//!   [`Domain::collect`].
//!
//! Callers promise: a block is retired once for each count given up, after the instruction that
//! unlinked it. Only this module names crossbeam-epoch.

mod collector;
mod domain;
mod guard;
mod limbo;
mod local;
mod overflow;
mod published_bytes;
mod registry;
mod shared;

pub(crate) use self::domain::Domain;
pub(crate) use self::guard::{Guard, ReadGuard};

#[cfg(any(sessile_loom, sessile_shuttle))]
pub(crate) use self::{limbo::Limbo, registry::Registry};

use std::ptr::NonNull;

/// What the owner of a domain keeps for each thread.
pub(crate) trait State: Default + Send + Sync + 'static {
    /// The thread exits: what it kept back for itself passes to `heir`, which belongs to nobody.
    fn leave(&self, heir: &Self);
}

/// What a domain frees.
pub(crate) trait Release {
    /// Gives back one count of `this`; the last one frees it.
    ///
    /// # Safety
    /// The caller owns one count and gives it up.
    unsafe fn release(this: NonNull<Self>);
}

/// What a domain is made for. Types and drops of what has domains ask for [`Release`] alone: there
/// is no domain of anything else.
///
/// # Safety
/// `release` may be called from any thread.
pub(crate) unsafe trait Reclaim: Release + 'static {}
