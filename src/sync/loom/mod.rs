//! The model's backend: the same names over loom.
//!
//! Every atomic is loom's with two things added: [`marks`], which let the search see all races, and
//! [`weaken`], by which a run of a model can weaken the ordering of one operation, named by its
//! place in the source.

mod atomic;
pub(crate) mod marks;
pub(crate) mod on_request;
pub(crate) mod weaken;

pub(crate) use self::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, fence};
pub(crate) use ::loom::cell::UnsafeCell;
pub(crate) use ::std::sync::Arc;
pub(crate) use ::std::sync::atomic::Ordering;

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

macro_rules! thread_local_value {
    (static $name:ident: $ty:ty = $init:expr;) => {
        ::loom::thread_local! { static $name: $ty = $init; }
    };
}
pub(crate) use thread_local_value;
