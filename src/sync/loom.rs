//! The model's backend: the same names over loom.

pub(crate) use ::loom::cell::UnsafeCell;
pub(crate) use ::loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
pub(crate) use ::std::sync::Arc;

/// The life of a piece of memory: a touch that is not ordered before its end fails the model.
#[derive(Debug)]
pub(crate) struct Lifetime {
    cell: UnsafeCell<()>,
    ended: ::std::sync::atomic::AtomicBool,
}

impl Lifetime {
    pub(crate) fn begin() -> Self {
        Self { cell: UnsafeCell::new(()), ended: ::std::sync::atomic::AtomicBool::new(false) }
    }

    pub(crate) fn touch(&self) {
        assert!(!self.ended.load(Ordering::SeqCst), "memory is used after its end");
        self.cell.with(|_| ());
    }

    pub(crate) fn end(&self) {
        assert!(!self.ended.swap(true, Ordering::SeqCst), "memory ends twice");
        self.cell.with_mut(|_| ());
    }
}

/// loom needs to be told that a retry loop waits for another thread.
pub(crate) fn relax() {
    ::loom::thread::yield_now();
}

pub(crate) fn yield_now() {
    ::loom::thread::yield_now();
}

pub(crate) fn acquire_count(_count: &AtomicUsize) {
    // ORDERING: Acquire fence; pairs with the Release decrement in `Session::drop`. Model: `count_last_drop`.
    ::loom::sync::atomic::fence(Ordering::Acquire);
}

macro_rules! thread_local_value {
    (static $name:ident: $ty:ty = $init:expr;) => {
        ::loom::thread_local! { static $name: $ty = $init; }
    };
}
pub(crate) use thread_local_value;
