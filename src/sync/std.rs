//! The shipped backend: plain `std`.

pub(crate) use std::sync::Arc;
pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence,
};

/// What models see only if they ask for it: statistics, dates, permits, the registry of threads.
pub(crate) mod on_request {
    pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize};
}

/// `std::cell::UnsafeCell` with loom's closure interface.
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// The life of a piece of memory, told to the model. Here it is nothing.
#[derive(Debug)]
pub(crate) struct Lifetime;

impl Lifetime {
    pub(crate) fn begin() -> Self {
        Self
    }

    #[inline]
    pub(crate) fn touch(&self) {}

    #[inline]
    pub(crate) fn end(&self) {}
}

/// A pause between two attempts of a retry loop.
#[inline]
pub(crate) fn relax() {
    std::hint::spin_loop();
}

/// Gives the processor to a thread that may hold what we wait for; only bounded loops call it.
#[inline]
pub(crate) fn yield_now() {
    std::thread::yield_now();
}

macro_rules! thread_local_value {
    (static $name:ident: $ty:ty = $init:expr;) => {
        ::std::thread_local! { static $name: $ty = const { $init }; }
    };
}
pub(crate) use thread_local_value;
