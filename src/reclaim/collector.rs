//! Where grace periods come from.
//!
//! Shipped: a private crossbeam-epoch collector, so that no foreign destructor runs in our calls
//! and no foreign stalled thread holds our sessions. Models: either that, or the *contract*
//! reclaimer, which runs a deferred function at the earliest moment the contract allows and so
//! finds premature frees that a lazy collector hides.
#![allow(clippy::disallowed_types, reason = "this is the file that owns them")]

#[cfg(any(sessile_loom, sessile_shuttle))]
pub(crate) use self::either::{Collector, EpochGuard, ThreadHandle};
#[cfg(not(any(sessile_loom, sessile_shuttle)))]
pub(crate) use self::epoch::{Collector, EpochGuard, ThreadHandle};

mod epoch {
    use crossbeam_epoch::LocalHandle;

    pub(crate) struct Collector(crossbeam_epoch::Collector);
    /// A registration with a collector. Nothing in it is tied to a thread, so it may pass from one
    /// to the next.
    pub(crate) struct ThreadHandle(LocalHandle);
    pub(crate) struct EpochGuard(crossbeam_epoch::Guard);

    impl Collector {
        pub(crate) fn new() -> Self {
            Self(crossbeam_epoch::Collector::new())
        }

        pub(crate) fn register(&self) -> ThreadHandle {
            ThreadHandle(self.0.register())
        }
    }

    impl ThreadHandle {
        #[inline]
        pub(crate) fn pin(&self) -> EpochGuard {
            EpochGuard(self.0.pin())
        }

        /// Runs `f` under a guard, on paths that are seldom taken: the usual ones keep the code of
        /// pinning for themselves.
        #[cfg_attr(
            any(sessile_loom, sessile_shuttle),
            allow(dead_code, reason = "models have their own")
        )]
        #[cold]
        #[inline(never)]
        pub(crate) fn pin_seldom(&self, f: &mut dyn FnMut(&EpochGuard)) {
            f(&self.pin());
        }

        /// As of its guards.
        pub(crate) const fn is_lazy(&self) -> bool {
            true
        }
    }

    impl EpochGuard {
        /// Defers `f` until every guard that exists now is gone.
        pub(crate) fn defer(&self, f: impl FnOnce() + Send + 'static) {
            self.0.defer(f);
        }

        /// Publishes what this thread deferred and tries to let time pass.
        pub(crate) fn flush(&self) {
            self.0.flush();
        }

        /// Whether deferred functions wait longer than they must: then batches pay.
        pub(crate) const fn is_lazy(&self) -> bool {
            true
        }
    }
}

#[cfg(any(sessile_loom, sessile_shuttle))]
pub(crate) mod contract;

#[cfg(any(sessile_loom, sessile_shuttle))]
mod either {
    use super::{contract, epoch};

    pub(crate) enum Collector {
        Epoch(epoch::Collector),
        Contract(contract::Collector),
    }

    pub(crate) enum ThreadHandle {
        Epoch(epoch::ThreadHandle),
        Contract(contract::ThreadHandle),
    }

    pub(crate) enum EpochGuard {
        Epoch(epoch::EpochGuard),
        Contract(contract::EpochGuard),
    }

    impl Collector {
        pub(crate) fn new() -> Self {
            match contract::is_chosen() {
                true => Self::Contract(contract::Collector::new()),
                false => Self::Epoch(epoch::Collector::new()),
            }
        }

        pub(crate) fn register(&self) -> ThreadHandle {
            match self {
                Self::Epoch(collector) => ThreadHandle::Epoch(collector.register()),
                Self::Contract(collector) => ThreadHandle::Contract(collector.register()),
            }
        }
    }

    impl ThreadHandle {
        pub(crate) fn pin(&self) -> EpochGuard {
            match self {
                Self::Epoch(handle) => EpochGuard::Epoch(handle.pin()),
                Self::Contract(handle) => EpochGuard::Contract(handle.pin()),
            }
        }

        pub(crate) fn pin_seldom(&self, f: &mut dyn FnMut(&EpochGuard)) {
            f(&self.pin());
        }

        pub(crate) fn is_lazy(&self) -> bool {
            matches!(self, Self::Epoch(handle) if handle.is_lazy())
        }
    }

    impl EpochGuard {
        pub(crate) fn defer(&self, f: impl FnOnce() + Send + 'static) {
            match self {
                Self::Epoch(guard) => guard.defer(f),
                Self::Contract(guard) => guard.defer(f),
            }
        }

        pub(crate) fn flush(&self) {
            if let Self::Epoch(guard) = self {
                guard.flush();
            }
        }

        pub(crate) fn is_lazy(&self) -> bool {
            matches!(self, Self::Epoch(guard) if guard.is_lazy())
        }
    }
}
