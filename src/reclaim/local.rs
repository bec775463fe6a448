//! What a thread has in each domain it used, and how it finds it again.
//!
//! Thread-local storage holds the leases of this thread, one per domain, and a copy of the one used last: the usual
//! call compares one number. A lease ends with the thread; the `Local` then waits in the registry for another owner.

use super::grace::{Grace, Guard, Handle};
use super::limbo::Limbo;
use super::registry::Node;
use crate::sync::{Arc, thread_local_value};
use std::cell::{Cell, RefCell};
use std::ptr;

/// One thread's part of a domain.
pub(crate) struct Local<B, L> {
    /// Unique in the domain.
    pub(crate) index: usize,
    pub(crate) limbo: Limbo<B>,
    /// The cache's own part.
    pub(crate) state: L,
}

/// A domain as a lease sees it: without its types.
pub(crate) trait Landlord: Send + Sync {
    /// Whether the cache is gone, so that the lease serves nobody.
    fn is_closed(&self) -> bool;

    /// Takes a `Local` back.
    ///
    /// # Safety
    /// `node` is the address that the landlord's own registry gave out, and the caller owns the node.
    unsafe fn end_lease(&self, node: *const ());
}

/// The ownership of one `Local`, with this thread's registration for grace periods.
pub(crate) struct Lease {
    domain: u64,
    node: *const (),
    handle: Box<Handle>,
    landlord: Arc<dyn Landlord>,
}

#[derive(Clone, Copy)]
struct Current {
    domain: u64,
    node: *const (),
    handle: *const Handle,
}

impl Current {
    /// Domains count from one.
    const NONE: Self = Self { domain: 0, node: ptr::null(), handle: ptr::null() };
}

thread_local_value! {
    static CURRENT: Cell<Current> = Cell::new(Current::NONE);
}
thread_local_value! {
    static LEASES: RefCell<Leases> = RefCell::new(Leases(Vec::new()));
}

thread_local_value! {
    static RELEASING: Cell<u32> = Cell::new(0);
}

/// How deep the releasing of blocks may nest: a payload's drop that retires or collects comes back to it.
const RELEASING_MAX: u32 = 4;

/// This thread is releasing ripe blocks, perhaps inside a payload's drop.
pub(crate) struct Releasing(());

impl Releasing {
    pub(crate) fn begin() -> Self {
        RELEASING.with(|releasing| releasing.set(releasing.get() + 1));
        Self(())
    }
}

impl Drop for Releasing {
    fn drop(&mut self) {
        RELEASING.with(|releasing| releasing.set(releasing.get() - 1));
    }
}

/// Whether this thread may begin to release. Else what it retires stays in limbo for those further up, or the recursion would
/// be as deep as the backlog.
pub(crate) fn may_release() -> bool {
    RELEASING.with(Cell::get) < RELEASING_MAX
}

struct Leases(Vec<Lease>);

/// A guard with the `Local` of its thread.
pub(crate) struct Entered<'d, B, L> {
    pub(crate) guard: Guard,
    pub(crate) node: &'d Node<Local<B, L>>,
    /// Set when thread-local storage is already gone: the lease must end after the guard.
    pub(crate) lease: Option<Box<Lease>>,
}

/// Pins this thread in the domain `domain` if that is the one it used last.
///
/// # Safety
/// The domain with the number `domain` has parts of type `Local<B, L>` and outlives `'d`.
#[inline]
pub(crate) unsafe fn enter_again<'d, B, L>(domain: u64) -> Option<(Guard, &'d Node<Local<B, L>>)> {
    let current = CURRENT.with(Cell::get);
    if current.domain != domain {
        return None;
    }
    // SAFETY: `CURRENT` names a lease of this thread that has not ended (`Lease::drop` clears it), so handle and node
    // are alive and the node is of this domain's type.
    Some(unsafe { ((*current.handle).pin(), &*current.node.cast()) })
}

/// Pins this thread in the domain `domain`, leasing a `Local` when it has none.
///
/// # Safety
/// `domain` is the number of the domain that `lease` leases from, and that domain outlives `'d`.
#[inline]
pub(crate) unsafe fn enter<'d, B, L>(domain: u64, lease: impl FnOnce() -> Lease) -> Entered<'d, B, L> {
    // SAFETY: passed on.
    match unsafe { enter_again(domain) } {
        Some((guard, node)) => Entered { guard, node, lease: None },
        // SAFETY: passed on.
        None => unsafe { enter_slow(domain, lease) },
    }
}

#[cold]
unsafe fn enter_slow<'d, B, L>(domain: u64, lease: impl FnOnce() -> Lease) -> Entered<'d, B, L> {
    let mut lease = Some(lease);
    let known = LEASES.try_with(|leases| {
        // A drop inside `select` could come back here only from user code, and it runs none.
        let mut leases = leases.try_borrow_mut().ok()?;
        Some(leases.select(domain, &mut lease))
    });
    if let Ok(Some(current)) = known {
        CURRENT.with(|cell| cell.set(current));
        // SAFETY: `current` names a lease in `LEASES`.
        let (guard, node) = unsafe { ((*current.handle).pin(), &*current.node.cast()) };
        return Entered { guard, node, lease: None };
    }
    // The thread is being torn down: lease for this one operation. `lease` is unused, since `select` did not run.
    let lease = lease.take().map(|lease| lease());
    let Some(lease) = lease else { unreachable!("`select` returns what it leased") };
    // SAFETY: the lease lives in the value that is returned.
    let (guard, node) = unsafe { (lease.handle.pin(), &*lease.node.cast()) };
    Entered { guard, node, lease: Some(Box::new(lease)) }
}

impl Leases {
    /// Finds or makes this thread's lease in `domain`.
    fn select(&mut self, domain: u64, lease: &mut Option<impl FnOnce() -> Lease>) -> Current {
        if let Some(known) = self.0.iter().find(|known| known.domain == domain) {
            return known.current();
        }
        self.0.retain(|known| !known.landlord.is_closed());
        if let Some(lease) = lease.take() {
            self.0.push(lease());
        }
        self.0.last().map_or(Current::NONE, Lease::current)
    }
}

impl Lease {
    /// # Safety
    /// `node` belongs to the registry of `landlord`, which is the domain `domain`, and is owned by the caller.
    pub(crate) unsafe fn new(
        domain: u64,
        node: *const (),
        grace: &Grace,
        landlord: Arc<dyn Landlord>,
    ) -> Self {
        Self { domain, node, handle: Box::new(grace.register()), landlord }
    }

    fn current(&self) -> Current {
        Current { domain: self.domain, node: self.node, handle: &raw const *self.handle }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // `CURRENT` has no destructor and so is there as long as the thread.
        let _ = CURRENT.try_with(|cell| {
            if cell.get().domain == self.domain {
                cell.set(Current::NONE);
            }
        });
        // SAFETY: by `Lease::new`.
        unsafe { self.landlord.end_lease(self.node) };
    }
}
