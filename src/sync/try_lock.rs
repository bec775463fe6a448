//! A lock that is tried and never waited for.

use super::{AtomicBool, Ordering, UnsafeCell};

/// A value for one thread at a time.
pub(crate) struct TryLock<T> {
    is_held: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: `with` gives access to one thread at a time, and hands the value over from the last one.
unsafe impl<T: Send> Sync for TryLock<T> {}

/// Ends the access, also when a panic does.
struct Unlock<'l>(&'l AtomicBool);

impl Drop for Unlock<'_> {
    #[inline]
    fn drop(&mut self) {
        // ORDERING: Release: hands the value over, pairs with `with`. Model: `slab_two_threads`.
        self.0.store(false, Ordering::Release);
    }
}

impl<T> TryLock<T> {
    #[cfg(not(any(sessile_loom, sessile_shuttle)))]
    pub(crate) const fn new(value: T) -> Self {
        Self { is_held: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// A checker's words are no constants.
    #[cfg(any(sessile_loom, sessile_shuttle))]
    pub(crate) fn new(value: T) -> Self {
        Self { is_held: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Runs `f` on the value. `None` if another thread, or a caller further up, does so now.
    #[inline(always)]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        // ORDERING: Acquire on success: sees the value as the last holder left it, pairs with
        // `Unlock`. Relaxed on failure: nothing is read. Model: `slab_two_threads`.
        self.is_held.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).ok()?;
        let _unlock = Unlock(&self.is_held);
        // SAFETY: the flag was down and is up until `_unlock` is dropped: nobody else is here.
        Some(self.value.with_mut(|value| f(unsafe { &mut *value })))
    }
}
