//! loom's atomics, watched and named by their places.

use super::marks::Marks;
use super::weaken;
use loom::sync::atomic as model;
use std::panic::Location;
use std::sync::atomic::Ordering;

/// An atomic with the operations that every kind has.
macro_rules! watched {
    ($name:ident $(<$parameter:ident>)?, $value:ty) => {
        #[derive(Debug)]
        pub(crate) struct $name $(<$parameter>)? {
            word: model::$name $(<$parameter>)?,
            marks: Marks,
        }

        #[allow(dead_code, reason = "each kind of atomic is used in its own way")]
        impl $(<$parameter>)? $name $(<$parameter>)? {
            pub(crate) fn new(value: $value) -> Self {
                Self { word: model::$name::new(value), marks: Marks::new() }
            }

            #[track_caller]
            pub(crate) fn load(&self, ordering: Ordering) -> $value {
                let [ordering] = weaken::orderings(Location::caller(), "load", [ordering]);
                let value = self.word.load(ordering);
                self.marks.after_load();
                value
            }

            #[track_caller]
            pub(crate) fn store(&self, value: $value, ordering: Ordering) {
                let [ordering] = weaken::orderings(Location::caller(), "store", [ordering]);
                let _step = self.marks.write();
                self.word.store(value, ordering);
            }

            #[track_caller]
            pub(crate) fn swap(&self, value: $value, ordering: Ordering) -> $value {
                let [ordering] = weaken::orderings(Location::caller(), "swap", [ordering]);
                let _step = self.marks.write();
                self.word.swap(value, ordering)
            }

            #[track_caller]
            pub(crate) fn compare_exchange(
                &self,
                from: $value,
                to: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                let place = Location::caller();
                let written = [success, failure];
                let [success, failure] = weaken::orderings(place, "compare_exchange", written);
                let _step = self.marks.write();
                self.word.compare_exchange(from, to, success, failure)
            }
        }
    };
}

/// Read-modify-writes of integers.
macro_rules! arithmetic {
    ($name:ident, $value:ty, $($operation:ident),+) => {
        #[allow(dead_code, reason = "each kind of atomic is used in its own way")]
        impl $name {
            $(
                #[track_caller]
                pub(crate) fn $operation(&self, value: $value, ordering: Ordering) -> $value {
                    let (place, name) = (Location::caller(), stringify!($operation));
                    let [ordering] = weaken::orderings(place, name, [ordering]);
                    let _step = self.marks.write();
                    self.word.$operation(value, ordering)
                }
            )+

            #[track_caller]
            pub(crate) fn fetch_update(
                &self,
                set: Ordering,
                fetch: Ordering,
                mut f: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let (place, written) = (Location::caller(), [set, fetch]);
                let [set, fetch] = weaken::orderings(place, "fetch_update", written);
                let mut value = self.word.load(fetch);
                self.marks.after_load();
                while let Some(next) = f(value) {
                    let _step = self.marks.write();
                    match self.word.compare_exchange(value, next, set, fetch) {
                        Ok(before) => return Ok(before),
                        Err(now) => value = now,
                    }
                }
                Err(value)
            }
        }
    };
}

watched!(AtomicBool, bool);
watched!(AtomicU64, u64);
watched!(AtomicUsize, usize);
watched!(AtomicPtr<T>, *mut T);

impl Default for AtomicUsize {
    fn default() -> Self {
        Self::new(0)
    }
}

arithmetic!(AtomicU64, u64, fetch_add, fetch_sub, fetch_and, fetch_or);
arithmetic!(AtomicUsize, usize, fetch_add, fetch_sub, fetch_and, fetch_or);

#[track_caller]
pub(crate) fn fence(ordering: Ordering) {
    let [ordering] = weaken::orderings(Location::caller(), "fence", [ordering]);
    // A fence weakened to nothing is left out.
    if ordering != Ordering::Relaxed {
        model::fence(ordering);
    }
}
