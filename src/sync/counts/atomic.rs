//! The standard library's atomics, counted.

use super::ledger::{Kind, note};
use std::sync::atomic::{self as plain, Ordering};

/// An atomic with the operations that every kind has.
macro_rules! counted {
    ($name:ident $(<$parameter:ident>)?, $value:ty) => {
        #[derive(Debug)]
        #[repr(transparent)]
        pub(crate) struct $name $(<$parameter>)? (plain::$name $(<$parameter>)?);

        #[allow(dead_code, reason = "each kind of atomic is used in its own way")]
        impl $(<$parameter>)? $name $(<$parameter>)? {
            pub(crate) const fn new(value: $value) -> Self {
                Self(plain::$name::new(value))
            }

            #[track_caller]
            pub(crate) fn load(&self, ordering: Ordering) -> $value {
                note(Kind::Load);
                self.0.load(ordering)
            }

            #[track_caller]
            pub(crate) fn store(&self, value: $value, ordering: Ordering) {
                // The sequentially consistent store is an exchange on x86.
                let is_locked = ordering == Ordering::SeqCst;
                note(if is_locked { Kind::ReadModifyWrite } else { Kind::Store });
                self.0.store(value, ordering);
            }

            #[track_caller]
            pub(crate) fn swap(&self, value: $value, ordering: Ordering) -> $value {
                note(Kind::ReadModifyWrite);
                self.0.swap(value, ordering)
            }

            /// Counts when it fails, too: it has taken the line from the others all the same.
            #[track_caller]
            pub(crate) fn compare_exchange(
                &self,
                from: $value,
                to: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                note(Kind::ReadModifyWrite);
                self.0.compare_exchange(from, to, success, failure)
            }
        }
    };
}

/// Read-modify-writes of integers.
macro_rules! arithmetic {
    ($name:ident, $value:ty) => {
        impl Default for $name {
            fn default() -> Self {
                Self::new(0)
            }
        }

        arithmetic!($name, $value, fetch_add, fetch_sub, fetch_and, fetch_or, fetch_min, fetch_max);

        #[allow(dead_code, reason = "each kind of atomic is used in its own way")]
        impl $name {
            #[track_caller]
            pub(crate) fn fetch_update(
                &self,
                set: Ordering,
                fetch: Ordering,
                mut f: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let mut value = self.load(fetch);
                while let Some(next) = f(value) {
                    match self.compare_exchange(value, next, set, fetch) {
                        Ok(before) => return Ok(before),
                        Err(now) => value = now,
                    }
                }
                Err(value)
            }
        }
    };
    ($name:ident, $value:ty, $($operation:ident),+) => {
        #[allow(dead_code, reason = "each kind of atomic is used in its own way")]
        impl $name {
            $(
                #[track_caller]
                pub(crate) fn $operation(&self, value: $value, ordering: Ordering) -> $value {
                    note(Kind::ReadModifyWrite);
                    self.0.$operation(value, ordering)
                }
            )+
        }
    };
}

counted!(AtomicBool, bool);
counted!(AtomicU32, u32);
counted!(AtomicU64, u64);
counted!(AtomicUsize, usize);
counted!(AtomicPtr<T>, *mut T);

arithmetic!(AtomicU32, u32);
arithmetic!(AtomicU64, u64);
arithmetic!(AtomicUsize, usize);

#[track_caller]
pub(crate) fn fence(ordering: Ordering) {
    note(Kind::Fence);
    plain::fence(ordering);
}
