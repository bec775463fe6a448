//! The scheduler's backend: the same names over shuttle.
//!
//! Every access to an atomic is a place where shuttle may go on with another thread, and every
//! access is sequentially consistent: what is found here is an interleaving, never an ordering. In
//! return a run may be long: whole sequences of operations on the whole cache, in schedules chosen
//! by a fuzzer. See `fuzz/schedules`.

pub(crate) use ::shuttle::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence,
};
pub(crate) use ::std::sync::Arc;

pub(crate) mod on_request {
    pub(crate) use ::shuttle::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize};
}

/// A cell that notices when two threads are inside.
#[derive(Debug)]
pub(crate) struct UnsafeCell<T> {
    cell: ::std::cell::UnsafeCell<T>,
    is_entered: AtomicBool,
}

impl<T> UnsafeCell<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { cell: ::std::cell::UnsafeCell::new(value), is_entered: AtomicBool::new(false) }
    }

    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        assert!(!self.is_entered.swap(true, Ordering::SeqCst), "two threads are in one cell");
        let result = f(self.cell.get());
        // Before this store another thread may run, and is found out if it enters.
        self.is_entered.store(false, Ordering::SeqCst);
        result
    }
}

/// The life of a piece of memory: a touch after its end fails the run.
///
/// It lies in the memory that it speaks of, which may be in use again by then: AddressSanitizer
/// sees what this misses.
#[derive(Debug)]
pub(crate) struct Lifetime(::std::sync::atomic::AtomicBool);

impl Lifetime {
    pub(crate) fn begin() -> Self {
        Self(::std::sync::atomic::AtomicBool::new(false))
    }

    pub(crate) fn touch(&self) {
        assert!(!self.0.load(Ordering::SeqCst), "memory is used after its end");
    }

    pub(crate) fn end(&self) {
        assert!(!self.0.swap(true, Ordering::SeqCst), "memory ends twice");
    }
}

/// Tells the scheduler that a retry loop waits for another thread.
pub(crate) fn relax() {
    ::shuttle::thread::yield_now();
}

pub(crate) fn yield_now() {
    ::shuttle::thread::yield_now();
}

macro_rules! thread_local_value {
    (static $name:ident: $ty:ty = $init:expr;) => {
        ::shuttle::thread_local! { static $name: $ty = $init; }
    };
}
pub(crate) use thread_local_value;
