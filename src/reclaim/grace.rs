//! Where grace periods come from.
//!
//! Shipped: a private crossbeam-epoch collector, so that no foreign destructor runs in our calls
//! and no foreign stalled thread holds our sessions. Models: either that, or the *contract*
//! reclaimer, which runs a deferred function at the earliest moment the contract allows and so
//! finds premature frees that a lazy collector hides.
#![allow(clippy::disallowed_types, reason = "this is the file that owns them")]

#[cfg(any(sessile_loom, sessile_shuttle))]
pub(crate) use self::either::{Grace, Guard, Handle};
#[cfg(not(any(sessile_loom, sessile_shuttle)))]
pub(crate) use self::epoch::{Grace, Guard, Handle};

mod epoch {
    use crossbeam_epoch::{Collector, LocalHandle};

    pub(crate) struct Grace(Collector);
    /// A registration with a collector. Nothing in it is tied to a thread, so it may pass from one
    /// to the next.
    pub(crate) struct Handle(LocalHandle);
    pub(crate) struct Guard(crossbeam_epoch::Guard);

    impl Grace {
        pub(crate) fn new() -> Self {
            Self(Collector::new())
        }

        pub(crate) fn register(&self) -> Handle {
            Handle(self.0.register())
        }
    }

    impl Handle {
        #[inline]
        pub(crate) fn pin(&self) -> Guard {
            Guard(self.0.pin())
        }

        /// Runs `f` under a guard, on paths that are seldom taken: the usual ones keep the code of
        /// pinning for themselves.
        #[cfg_attr(
            any(sessile_loom, sessile_shuttle),
            allow(dead_code, reason = "models have their own")
        )]
        #[cold]
        #[inline(never)]
        pub(crate) fn pin_seldom(&self, f: &mut dyn FnMut(&Guard)) {
            f(&self.pin());
        }

        /// As of its guards.
        pub(crate) const fn is_lazy(&self) -> bool {
            true
        }
    }

    impl Guard {
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

    pub(crate) enum Grace {
        Epoch(epoch::Grace),
        Contract(contract::Grace),
    }

    pub(crate) enum Handle {
        Epoch(epoch::Handle),
        Contract(contract::Handle),
    }

    pub(crate) enum Guard {
        Epoch(epoch::Guard),
        Contract(contract::Guard),
    }

    impl Grace {
        pub(crate) fn new() -> Self {
            match contract::is_chosen() {
                true => Self::Contract(contract::Grace::new()),
                false => Self::Epoch(epoch::Grace::new()),
            }
        }

        pub(crate) fn register(&self) -> Handle {
            match self {
                Self::Epoch(grace) => Handle::Epoch(grace.register()),
                Self::Contract(grace) => Handle::Contract(grace.register()),
            }
        }
    }

    impl Handle {
        pub(crate) fn pin(&self) -> Guard {
            match self {
                Self::Epoch(handle) => Guard::Epoch(handle.pin()),
                Self::Contract(handle) => Guard::Contract(handle.pin()),
            }
        }

        pub(crate) fn pin_seldom(&self, f: &mut dyn FnMut(&Guard)) {
            f(&self.pin());
        }

        pub(crate) fn is_lazy(&self) -> bool {
            matches!(self, Self::Epoch(handle) if handle.is_lazy())
        }
    }

    impl Guard {
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
