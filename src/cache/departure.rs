//! What follows the end of a stay: permits, counters, retirement, hooks.

use super::{At, Guard, SessionCache};
use crate::error::RemovalCause;
use crate::panics;
use crate::session::{Block, Session};
use crate::sync::thread_local_value;
use std::any::Any;
use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Sessions that left, and the one that came, to be shown to the hooks once the guard is gone. A
/// null pointer without hooks.
pub(super) struct Departures<T>(Option<Box<Shown<T>>>);

struct Shown<T> {
    /// The first one apart: most operations see no second.
    first: Option<Departure<T>>,
    others: Vec<Departure<T>>,
    arrived: Option<Session<T>>,
}

type Departure<T> = (Session<T>, RemovalCause);

/// Calls of hooks that this thread is in, of whatever caches.
pub(super) struct HookCalls(());

/// Deeper than this no session is added.
const HOOK_CALLS_MAX: u32 = 16;

thread_local_value! {
    static HOOK_CALLS: Cell<u32> = Cell::new(0);
}

impl HookCalls {
    fn begin() -> Self {
        HOOK_CALLS.with(|calls| calls.set(calls.get() + 1));
        Self(())
    }

    pub(super) fn are_too_deep() -> bool {
        HOOK_CALLS.with(Cell::get) >= HOOK_CALLS_MAX
    }
}

impl Drop for HookCalls {
    fn drop(&mut self) {
        HOOK_CALLS.with(|calls| calls.set(calls.get() - 1));
    }
}

/// What becomes of the permit of a session that leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Permit {
    GivenBack,
    /// It passes to the session that takes the place.
    Kept,
}

impl<T> Departures<T> {
    #[inline]
    pub(super) fn none() -> Self {
        Self(None)
    }

    fn shown(&mut self) -> &mut Shown<T> {
        self.0.get_or_insert_with(|| {
            Box::new(Shown { first: None, others: Vec::new(), arrived: None })
        })
    }

    pub(super) fn push(&mut self, departure: Departure<T>) {
        let shown = self.shown();
        match shown.first {
            None => shown.first = Some(departure),
            Some(_) => shown.others.push(departure),
        }
    }

    pub(super) fn arrive(&mut self, session: Session<T>) {
        self.shown().arrived = Some(session);
    }

    /// Takes back what was to be shown as having come.
    #[cold]
    pub(super) fn unarrive(&mut self) -> Option<Session<T>> {
        self.0.as_mut()?.arrived.take()
    }
}

impl<T: Send + Sync + 'static> SessionCache<T> {
    /// Settles the end of the stay that `spot` saw. The caller's exchange ended it.
    #[inline]
    pub(super) fn depart(
        &self,
        pin: &Guard<'_, T>,
        spot: &At<'_, T>,
        cause: RemovalCause,
        permit: Permit,
        departures: &mut Departures<T>,
    ) {
        let Some(address) = spot.block() else { return };
        self.count(pin, cause.into());
        // SAFETY: the stay's count is given up below, after the grace period of this guard at the
        // earliest.
        let block: &Block<T> = unsafe { address.as_ref() };
        if self.settings.wants_removed() {
            // SAFETY: as above.
            let session = unsafe { Session::lend(address) };
            departures.push(((*session).clone(), cause));
        }
        // SAFETY: 1. The stay owned one count (INVARIANT STAYS) and the caller's exchange made it
        // ours. 2. The word is gone from the table. 3. The guard is older than the exchange.
        unsafe { pin.retire(address, self.footprint(block)) };
        // Only now: what is neither stored nor garbage would be in nobody's sum.
        if permit == Permit::GivenBack {
            self.sessions.give(&pin.state().spare);
            if cause != RemovalCause::Evicted {
                self.recency.note_departure(&pin.state().turnover);
            }
        }
        // A replacement settles the difference of the weights itself.
        if let (Some(weighing), true) = (&self.weighing, cause != RemovalCause::Replaced) {
            weighing.budget.give(block.weight() as usize);
        }
    }

    /// Calls the hooks. Must be called without a guard.
    ///
    /// Every session is shown even if a hook panics; then the first panic goes on.
    #[inline]
    pub(super) fn announce(&self, departures: Departures<T>) {
        self.announce_with(departures, (), |()| None);
    }

    /// Calls the hooks before an operation returns `outcome`. If a hook panics, the handle in
    /// `outcome` is not dropped by unwinding: its payload may panic too, which would abort the
    /// process.
    #[inline]
    pub(super) fn announce_with<R>(
        &self,
        departures: Departures<T>,
        outcome: R,
        handle: impl FnOnce(R) -> Option<Session<T>>,
    ) -> R {
        if let Some(shown) = departures.0 {
            if let Err(panic) = self.announce_all(*shown) {
                handle(outcome).into_iter().for_each(|session| self.let_go(session));
                resume_unwind(panic);
            }
        }
        outcome
    }

    /// Drops a handle of the cache's own: a payload that panics in its drop must not unwind through
    /// the operation.
    pub(super) fn let_go(&self, session: Session<T>) {
        // SAFETY: the count is the handle's own, which no table stands for.
        unsafe { self.domain.release(session.into_address()) };
    }

    #[cold]
    fn announce_all(&self, shown: Shown<T>) -> Result<(), Box<dyn Any + Send>> {
        let hooks = self.settings.hooks();
        let _calls = HookCalls::begin();
        let left = || shown.first.iter().chain(&shown.others);
        let mut first_panic = Ok(());
        // The hooks get shared references and the table is whole: nothing is left half-done by a
        // panic.
        let mut guarded = |call: &dyn Fn()| {
            let Err(panic) = catch_unwind(AssertUnwindSafe(call)) else { return };
            match first_panic {
                Ok(()) => first_panic = Err(panic),
                Err(_) => panics::discard(panic),
            }
        };
        if let Some(hook) = &hooks.on_removed {
            left().for_each(|(session, cause)| guarded(&|| hook(session, *cause)));
        }
        if let (Some(hook), Some(session)) = (&hooks.on_added, &shown.arrived) {
            guarded(&|| hook(session));
        }
        let left = shown.first.into_iter().chain(shown.others).map(|(session, _)| session);
        left.chain(shown.arrived).for_each(|session| self.let_go(session));
        first_panic
    }
}

/// A handle that user code runs beside: if that panics, the handle is dropped like the cache's own.
pub(super) struct Held<'c, T: Send + Sync + 'static> {
    cache: &'c SessionCache<T>,
    session: ManuallyDrop<Session<T>>,
}

impl<'c, T: Send + Sync + 'static> Held<'c, T> {
    #[inline]
    pub(super) fn new(cache: &'c SessionCache<T>, session: Session<T>) -> Self {
        Self { cache, session: ManuallyDrop::new(session) }
    }

    /// Gives the handle back.
    #[inline]
    pub(super) fn into_session(self) -> Session<T> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: neither `this` nor its handle is dropped or used again.
        unsafe { ManuallyDrop::take(&mut this.session) }
    }
}

impl<T: Send + Sync + 'static> Deref for Held<'_, T> {
    type Target = Session<T>;

    #[inline]
    fn deref(&self) -> &Session<T> {
        &self.session
    }
}

impl<T: Send + Sync + 'static> Drop for Held<'_, T> {
    fn drop(&mut self) {
        // SAFETY: this is the end of `self`, so the handle is taken once.
        let session = unsafe { ManuallyDrop::take(&mut self.session) };
        self.cache.let_go(session);
    }
}
