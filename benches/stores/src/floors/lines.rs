//! Two dependent random line loads: what memory alone costs a lookup.

use super::Plain;
use crate::ids::Id;
use crate::store::Store;
use std::hint::black_box;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use triomphe::Arc;

/// A direct-index table without any protection: sessions are never removed, only lookups are
/// measured.
pub struct Lines(Box<[AtomicPtr<Plain>]>);

impl Store for Lines {
    type Value = Arc<Plain>;
    const EVICTS: bool = false;

    fn with_capacity(capacity: usize) -> Self {
        Self(std::iter::repeat_with(AtomicPtr::default).take(super::slots_for(capacity)).collect())
    }

    fn add(&self, id: &Id, value: Arc<Plain>) {
        let slot = &self.0[super::slot_of(id, self.0.len())];
        // ORDERING: Release: publishes the session. An old one leaks: there is none in a lookup
        // workload.
        slot.store(Arc::into_raw(value).cast_mut(), Ordering::Release);
    }

    #[inline]
    fn get(&self, id: &Id) -> bool {
        // ORDERING: Acquire: sees the session as it was published.
        let found = self.0[super::slot_of(id, self.0.len())].load(Ordering::Acquire);
        // SAFETY: sessions stay until the store is dropped.
        unsafe { found.as_ref() }.is_some_and(|plain| black_box(&plain.id) == id)
    }

    fn take(&self, _id: &Id) -> bool {
        unreachable!("only lookups are measured")
    }

    fn stored(&self) -> Option<usize> {
        // ORDERING: Relaxed: counted while nobody writes.
        Some(self.0.iter().filter(|slot| !slot.load(Ordering::Relaxed).is_null()).count())
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        for slot in &mut self.0 {
            let last = std::mem::replace(slot.get_mut(), ptr::null_mut());
            if !last.is_null() {
                // SAFETY: `&mut self`: the table owns one count of what it holds.
                drop(unsafe { Arc::from_raw(last.cast_const()) });
            }
        }
    }
}
