//! What a thread has in each domain it used, and how it finds it again.
//!
//! Everything lies in the domain, and goes with it. Thread-local storage holds a lease per domain
//! that the thread used, which only says where, and a copy of the one used last: the usual call
//! compares one number. A lease ends with the thread; the `Local` is then tidied up, and waits in
//! the registry for another owner.

use super::collector::{Collector, EpochGuard, ThreadHandle};
use super::limbo::Limbo;
use super::registry::Record;
use crate::hint::unlikely;
use crate::sync::thread_local_value;
use std::cell::{Cell, RefCell, UnsafeCell};
use std::ptr::{self, NonNull};
use std::sync::Weak;

/// One thread's part of a domain. In this order: what every operation touches first lies in one
/// cache line.
#[repr(C, align(64))]
pub(crate) struct Local<B, L> {
    /// The registration for grace periods, for the owner alone. It may outlast the owner and serve
    /// the next one.
    handle: UnsafeCell<Option<ThreadHandle>>,
    /// The cache's own part.
    pub(crate) state: L,
    /// That of its record, in a line that an add reads anyway.
    pub(crate) index: usize,
    /// Bytes that its owner may retire before it adds them to the domain's total.
    pub(crate) unpublished_max: u64,
    pub(crate) limbo: Limbo<B>,
}

/// A domain as a lease sees it: without its types.
pub(crate) trait DomainOps: Send + Sync {
    /// Takes a `Local` back.
    ///
    /// # Safety
    /// `record` is the address that the domain's own registry gave out, and the caller owns the
    /// record.
    unsafe fn end_lease(&self, record: *const ());
}

/// The ownership of one `Local`.
pub(crate) struct LocalHandle {
    domain: u64,
    record: *const (),
    handle: *const ThreadHandle,
    /// Nobody once the cache is gone, and then the lease serves nobody.
    domain_ops: Weak<dyn DomainOps>,
}

#[derive(Clone, Copy)]
struct Current {
    domain: u64,
    record: *const (),
    handle: *const ThreadHandle,
}

impl Current {
    /// Domains count from one.
    const NONE: Self = Self { domain: 0, record: ptr::null(), handle: ptr::null() };
}

impl<B: super::Reclaim, L: Default> Local<B, L> {
    pub(super) fn new(index: usize, unpublished_max: u64) -> Self {
        let handle = UnsafeCell::new(None);
        Self { handle, state: L::default(), index, unpublished_max, limbo: Limbo::new() }
    }
}

impl<B, L> Local<B, L> {
    /// The owner's registration, which is made if there is none.
    ///
    /// # Safety
    /// The caller owns the record.
    pub(super) unsafe fn register(&self, collector: &Collector) -> NonNull<ThreadHandle> {
        // SAFETY: the field is the owner's. It is written only if it is `None`, and then no
        // reference into it exists.
        let handle = unsafe { &mut *self.handle.get() };
        NonNull::from(handle.get_or_insert_with(|| collector.register()))
    }

    /// The owner's registration.
    ///
    /// # Safety
    /// The caller owns the record, and does not unregister while it has the reference.
    pub(super) unsafe fn handle(&self) -> Option<&ThreadHandle> {
        // SAFETY: the field is the owner's.
        unsafe { (*self.handle.get()).as_ref() }
    }

    /// Ends the registration.
    ///
    /// # Safety
    /// The caller owns the record, and has neither a guard nor a reference of the registration.
    pub(super) unsafe fn unregister(&self) {
        // SAFETY: the field is the owner's.
        drop(unsafe { (*self.handle.get()).take() });
    }
}

thread_local_value! {
    static CURRENT: Cell<Current> = Cell::new(Current::NONE);
}
thread_local_value! {
    static LOCAL_HANDLES: RefCell<LocalHandles> = RefCell::new(LocalHandles(Vec::new()));
}
thread_local_value! {
    static RELEASING: Cell<u32> = Cell::new(0);
}

/// How deep the releasing of blocks may nest: a payload's drop that retires or collects comes back
/// to it.
const RELEASING_MAX: u32 = 4;

/// This thread is releasing ripe blocks, perhaps inside a payload's drop.
pub(crate) struct Releasing(());

impl Releasing {
    #[inline]
    pub(crate) fn begin() -> Self {
        RELEASING.with(|releasing| releasing.set(releasing.get() + 1));
        Self(())
    }
}

impl Drop for Releasing {
    #[inline]
    fn drop(&mut self) {
        RELEASING.with(|releasing| releasing.set(releasing.get() - 1));
    }
}

/// Whether this thread may begin to release. Else what it retires stays in limbo for those further
/// up, or the recursion would be as deep as the backlog.
#[inline]
pub(crate) fn may_release() -> bool {
    RELEASING.with(Cell::get) < RELEASING_MAX
}

/// In the order of their domains.
struct LocalHandles(Vec<LocalHandle>);

/// A guard with the `Local` of its thread.
pub(crate) struct PinnedLocal<'d, B, L> {
    pub(crate) guard: EpochGuard,
    pub(crate) record: &'d Record<Local<B, L>>,
    /// Set when thread-local storage is already gone: the lease must end after the guard.
    pub(crate) lease: Option<Box<LocalHandle>>,
}

/// Pins this thread in the domain `domain` if that is the one it used last.
///
/// # Safety
/// The domain with the number `domain` has parts of type `Local<B, L>` and outlives `'d`.
#[inline]
pub(crate) unsafe fn enter_again<'d, B, L>(
    domain: u64,
) -> Option<(EpochGuard, &'d Record<Local<B, L>>)> {
    let current = CURRENT.with(Cell::get);
    if unlikely(current.domain != domain) {
        return None;
    }
    // SAFETY: `CURRENT` names a lease of this thread that has not ended (`LocalHandle::drop` clears
    // it), and the domain is alive, so handle and record are, and the record is of this domain's
    // type.
    Some(unsafe { ((*current.handle).pin(), &*current.record.cast()) })
}

/// Pins this thread in the domain `domain`, leasing a `Local` when it has none.
///
/// # Safety
/// `domain` is the number of the domain that `lease` leases from, and that domain outlives `'d`.
#[inline]
pub(crate) unsafe fn enter<'d, B, L>(
    domain: u64,
    lease: impl FnOnce() -> LocalHandle,
) -> PinnedLocal<'d, B, L> {
    // SAFETY: passed on.
    match unsafe { enter_again(domain) } {
        Some((guard, record)) => PinnedLocal { guard, record, lease: None },
        // SAFETY: passed on.
        None => unsafe { enter_slow(domain, lease) },
    }
}

#[cold]
unsafe fn enter_slow<'d, B, L>(
    domain: u64,
    lease: impl FnOnce() -> LocalHandle,
) -> PinnedLocal<'d, B, L> {
    let mut lease = Some(lease);
    let known = LOCAL_HANDLES.try_with(|leases| {
        // A drop inside `select` could come back here only from user code, and it runs none.
        let mut leases = leases.try_borrow_mut().ok()?;
        Some(leases.select(domain, &mut lease))
    });
    if let Ok(Some(current)) = known {
        CURRENT.with(|cell| cell.set(current));
        // SAFETY: `current` names a lease in `LOCAL_HANDLES`.
        let (guard, record) = unsafe { ((*current.handle).pin(), &*current.record.cast()) };
        return PinnedLocal { guard, record, lease: None };
    }
    // The thread is being torn down: lease for this one operation. `lease` is unused, since
    // `select` did not run.
    let lease = lease.take().map(|lease| lease());
    let Some(lease) = lease else { unreachable!("`select` returns what it leased") };
    // SAFETY: the lease lives in the value that is returned, and what it names as long as the
    // domain.
    let (guard, record) = unsafe { ((*lease.handle).pin(), &*lease.record.cast()) };
    PinnedLocal { guard, record, lease: Some(Box::new(lease)) }
}

impl LocalHandles {
    /// Finds or makes this thread's lease in `domain`.
    fn select(&mut self, domain: u64, lease: &mut Option<impl FnOnce() -> LocalHandle>) -> Current {
        let place = match self.place_of(domain) {
            Ok(known) => known,
            Err(_) => {
                // Those of caches that are gone are looked for each time that there might be half
                // as many.
                if self.0.len() == self.0.capacity() {
                    self.0.retain(|known| known.domain_ops.strong_count() > 0);
                    self.0.reserve(self.0.len() + 1);
                }
                let Some(lease) = lease.take() else { return Current::NONE };
                let place = self.place_of(domain).unwrap_or_else(|place| place);
                self.0.insert(place, lease());
                place
            }
        };
        self.0[place].current()
    }

    fn place_of(&self, domain: u64) -> Result<usize, usize> {
        self.0.binary_search_by_key(&domain, |known| known.domain)
    }
}

impl LocalHandle {
    /// # Safety
    /// `record` belongs to the registry of `domain_ops`, which is the domain `domain`, and is owned
    /// by the caller; `handle` is its registration.
    pub(crate) unsafe fn new(
        domain: u64,
        record: *const (),
        handle: NonNull<ThreadHandle>,
        domain_ops: Weak<dyn DomainOps>,
    ) -> Self {
        Self { domain, record, handle: handle.as_ptr(), domain_ops }
    }

    fn current(&self) -> Current {
        Current { domain: self.domain, record: self.record, handle: self.handle }
    }
}

impl Drop for LocalHandle {
    fn drop(&mut self) {
        // `CURRENT` has no destructor and so is there as long as the thread.
        let _ = CURRENT.try_with(|cell| {
            if cell.get().domain == self.domain {
                cell.set(Current::NONE);
            }
        });
        if let Some(domain_ops) = self.domain_ops.upgrade() {
            // SAFETY: by `LocalHandle::new`.
            unsafe { domain_ops.end_lease(self.record) };
        }
    }
}
