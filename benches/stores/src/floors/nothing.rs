//! The harness itself: ids are made, sessions are built and dropped, nothing is stored.

use crate::ids::Id;
use crate::store::{Session, Store};
use std::hint::black_box;

/// What every figure contains.
pub struct Nothing;

impl Store for Nothing {
    type Value = Session;
    const EVICTS: bool = true;

    fn with_capacity(_capacity: usize) -> Self {
        Self
    }

    #[inline]
    fn add(&self, id: &Id, value: Session) {
        black_box((id, &value));
    }

    #[inline]
    fn get(&self, id: &Id) -> bool {
        black_box(id);
        false
    }

    #[inline]
    fn take(&self, id: &Id) -> bool {
        self.get(id)
    }
}
