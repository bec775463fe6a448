//! Direct-index tables.

use super::Plain;
use super::limbo::{Limbo, Pin};
use crate::ids::Id;
use crate::store::Store;
use std::hint::black_box;
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use triomphe::Arc;

/// A table of pointers, indexed by the number in the id, under a guard.
///
/// `BATCHED`: the thread that displaces a session frees it later itself; otherwise crossbeam does,
/// one by one. `COUNTED`: a lookup returns a counted handle; otherwise it reads under the guard.
pub struct Direct<const BATCHED: bool, const COUNTED: bool> {
    slots: Box<[AtomicPtr<Plain>]>,
    limbo: Limbo,
}

impl<const BATCHED: bool, const COUNTED: bool> Direct<BATCHED, COUNTED> {
    #[inline]
    fn slot(&self, id: &Id) -> &AtomicPtr<Plain> {
        &self.slots[super::slot_of(id, self.slots.len())]
    }

    /// The session in the slot, if it is the right one.
    #[inline]
    fn find<'p>(&self, _pin: &'p Pin<'_>, id: &Id) -> Option<&'p Plain> {
        // ORDERING: Acquire: sees the session as it was published.
        let found = self.slot(id).load(Ordering::Acquire);
        // SAFETY: loaded under the guard; what is unlinked is freed after it.
        unsafe { found.as_ref() }.filter(|plain| plain.id == *id)
    }

    #[inline]
    fn retire(pin: &Pin<'_>, dead: *const Plain) {
        // SAFETY: the caller has unlinked `dead` and passes the table's count on.
        unsafe { if BATCHED { pin.retire(dead) } else { pin.defer(dead) } }
    }

    #[inline]
    fn unlink(&self, pin: &Pin<'_>, id: &Id) -> Option<*const Plain> {
        clear(self.slot(id), self.find(pin, id)?)
    }
}

/// Empties a slot, for one of those who try.
#[inline]
fn clear(slot: &AtomicPtr<Plain>, found: &Plain) -> Option<*const Plain> {
    let found = ptr::from_ref(found).cast_mut();
    // ORDERING: AcqRel: the winner alone owns the table's count.
    let cleared =
        slot.compare_exchange(found, ptr::null_mut(), Ordering::AcqRel, Ordering::Relaxed);
    cleared.ok().map(<*mut Plain>::cast_const)
}

/// A handle of the caller's own.
///
/// # Safety
/// `plain` came out of `Arc::into_raw` and is alive.
#[inline]
unsafe fn handle(plain: *const Plain) -> Arc<Plain> {
    // SAFETY: passed on; the borrowed count is not given up.
    Arc::clone(&*ManuallyDrop::new(unsafe { Arc::from_raw(plain) }))
}

impl<const BATCHED: bool, const COUNTED: bool> Store for Direct<BATCHED, COUNTED> {
    type Value = Arc<Plain>;
    const EVICTS: bool = false;

    fn with_capacity(capacity: usize) -> Self {
        let slots =
            std::iter::repeat_with(AtomicPtr::default).take(super::slots_for(capacity)).collect();
        Self { slots, limbo: Limbo::new() }
    }

    #[inline]
    fn add(&self, id: &Id, value: Arc<Plain>) {
        let pin = self.limbo.pin();
        let slot = self.slot(id);
        // ORDERING: Relaxed: compared, not followed.
        if slot.load(Ordering::Relaxed).cast_const() == Arc::as_ptr(&value) {
            return;
        }
        // ORDERING: AcqRel: publishes the new session, takes over the old one.
        let old = slot.swap(Arc::into_raw(value).cast_mut(), Ordering::AcqRel);
        if !old.is_null() {
            Self::retire(&pin, old);
        }
    }

    #[inline]
    fn get(&self, id: &Id) -> bool {
        let pin = self.limbo.pin();
        let Some(plain) = self.find(&pin, id) else { return false };
        if !COUNTED {
            black_box(plain);
            return true;
        }
        // SAFETY: found under the guard.
        let session = unsafe { handle(plain) };
        drop(pin);
        black_box(&session);
        true
    }

    #[inline]
    fn read(&self, id: &Id) -> bool {
        let pin = self.limbo.pin();
        self.find(&pin, id).map(|plain| black_box(plain.payload[0])).is_some()
    }

    #[inline]
    fn take(&self, id: &Id) -> bool {
        let pin = self.limbo.pin();
        let Some(dead) = self.unlink(&pin, id) else { return false };
        if COUNTED {
            // SAFETY: unlinked under the guard, and so still alive.
            black_box(&unsafe { handle(dead) });
        }
        Self::retire(&pin, dead);
        true
    }

    #[inline]
    fn remove(&self, id: &Id) -> bool {
        let pin = self.limbo.pin();
        self.unlink(&pin, id).map(|dead| Self::retire(&pin, dead)).is_some()
    }

    fn flush(&self, now: u64) -> Option<usize> {
        const SLOTS_PER_GUARD: usize = 256;
        let mut flushed = 0;
        for slots in self.slots.chunks(SLOTS_PER_GUARD) {
            let pin = self.limbo.pin();
            for slot in slots {
                // ORDERING: Acquire: sees the session as it was published.
                let found = slot.load(Ordering::Acquire);
                // SAFETY: loaded under the guard.
                let expired = unsafe { found.as_ref() }.filter(|plain| plain.expires < now);
                if let Some(dead) = expired.and_then(|plain| clear(slot, plain)) {
                    Self::retire(&pin, dead);
                    flushed += 1;
                }
            }
        }
        Some(flushed)
    }

    fn stored(&self) -> Option<usize> {
        // ORDERING: Relaxed: counted while nobody writes.
        Some(self.slots.iter().filter(|slot| !slot.load(Ordering::Relaxed).is_null()).count())
    }
}

impl<const BATCHED: bool, const COUNTED: bool> Drop for Direct<BATCHED, COUNTED> {
    fn drop(&mut self) {
        for slot in &mut self.slots {
            let last = *slot.get_mut();
            if !last.is_null() {
                // SAFETY: `&mut self`: the table owns one count of what it holds.
                drop(unsafe { Arc::from_raw(last.cast_const()) });
            }
        }
    }
}
