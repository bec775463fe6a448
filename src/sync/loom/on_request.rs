//! Words that a model sees only if it asks for their file: statistics, dates, permits, settings,
//! the registry of threads.
//!
//! Most models are not about them. Unseen they are the standard library's: they cost no search, and
//! the edges that they would carry cannot hide that one is missing elsewhere.

use crate::sync::search;
use std::panic::Location;
use std::sync::atomic::{self as plain, Ordering};

fn is_seen(place: &Location<'_>) -> bool {
    search::switches().seen.contains(&place.file())
}

/// One kind of word, with the operations `name(arguments) -> result`.
macro_rules! on_request {
    (
        $name:ident $(<$parameter:ident>)?, $value:ty,
        $($operation:ident($($argument:ident: $kind:ty),*) $(-> $result:ty)?;)*
    ) => {
        #[derive(Debug)]
        pub(crate) enum $name $(<$parameter>)? {
            Seen(Box<super::$name $(<$parameter>)?>),
            Unseen(plain::$name $(<$parameter>)?),
        }

        #[allow(dead_code, reason = "each kind of atomic is used in its own way")]
        impl $(<$parameter>)? $name $(<$parameter>)? {
            #[track_caller]
            pub(crate) fn new(value: $value) -> Self {
                match is_seen(Location::caller()) {
                    true => Self::Seen(Box::new(super::$name::new(value))),
                    false => Self::Unseen(plain::$name::new(value)),
                }
            }

            $(
                #[track_caller]
                pub(crate) fn $operation(&self, $($argument: $kind),*) $(-> $result)? {
                    match self {
                        Self::Seen(word) => word.$operation($($argument),*),
                        Self::Unseen(word) => word.$operation($($argument),*),
                    }
                }
            )*
        }
    };
}

macro_rules! integer {
    ($name:ident, $value:ty) => {
        on_request! {
            $name, $value,
            load(ordering: Ordering) -> $value;
            store(value: $value, ordering: Ordering);
            swap(value: $value, ordering: Ordering) -> $value;
            compare_exchange(from: $value, to: $value, success: Ordering, failure: Ordering)
                -> Result<$value, $value>;
            fetch_add(value: $value, ordering: Ordering) -> $value;
            fetch_sub(value: $value, ordering: Ordering) -> $value;
            fetch_or(value: $value, ordering: Ordering) -> $value;
            fetch_and(value: $value, ordering: Ordering) -> $value;
            fetch_update(set: Ordering, fetch: Ordering, f: impl FnMut($value) -> Option<$value>)
                -> Result<$value, $value>;
        }

        impl Default for $name {
            #[track_caller]
            fn default() -> Self {
                Self::new(0)
            }
        }
    };
}

integer!(AtomicU64, u64);
integer!(AtomicUsize, usize);
on_request! {
    AtomicPtr<T>, *mut T,
    load(ordering: Ordering) -> *mut T;
    store(value: *mut T, ordering: Ordering);
    compare_exchange(from: *mut T, to: *mut T, success: Ordering, failure: Ordering)
        -> Result<*mut T, *mut T>;
}
