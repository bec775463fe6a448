//! What hooks must hear of an operation, and their calls.

use super::SessionCache;
use crate::error::RemovalCause;
use crate::panics;
use crate::session::Session;
use crate::sync::thread_local_value;
use std::any::Any;
use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Sessions that left, and the one that came, of which the hooks hear when this is dropped: once
/// the guard is gone. A null pointer without hooks.
pub(super) struct Notifications<'c, T: Send + Sync + 'static> {
    cache: &'c SessionCache<T>,
    /// Without a drop of its own: that of the whole takes it out.
    pending: Cell<Option<ManuallyDrop<Box<Pending<T>>>>>,
}

struct Pending<T> {
    /// The first one apart: most operations see no second.
    first: Option<Removal<T>>,
    others: Vec<Removal<T>>,
    added: Option<Session<T>>,
}

type Removal<T> = (Session<T>, RemovalCause);

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

impl<'c, T: Send + Sync + 'static> Notifications<'c, T> {
    #[inline]
    pub(super) fn none(cache: &'c SessionCache<T>) -> Self {
        Self { cache, pending: Cell::new(None) }
    }

    #[inline]
    pub(super) fn cache(&self) -> &'c SessionCache<T> {
        self.cache
    }

    /// Whether there is nothing that hooks must hear of.
    #[inline]
    pub(super) fn are_none(&mut self) -> bool {
        self.pending.get_mut().is_none()
    }

    fn change(&self, change: impl FnOnce(&mut Pending<T>)) {
        let none = || Box::new(Pending { first: None, others: Vec::new(), added: None });
        let mut pending = self.take().unwrap_or_else(none);
        change(&mut pending);
        self.pending.set(Some(ManuallyDrop::new(pending)));
    }

    /// A session left.
    #[cold]
    pub(super) fn removed(&self, session: Session<T>, cause: RemovalCause) {
        self.change(|pending| match pending.first {
            None => pending.first = Some((session, cause)),
            Some(_) => pending.others.push((session, cause)),
        });
    }

    /// A session came.
    #[cold]
    pub(super) fn added(&self, session: Session<T>) {
        self.change(|pending| pending.added = Some(session));
    }

    /// Calls the hooks before an operation returns `outcome`, see
    /// [`Operation::finish`](super::operation::Operation::finish). Must be called without a guard.
    #[inline]
    pub(super) fn send<R>(self, outcome: R, handle: impl FnOnce(R) -> Option<Session<T>>) -> R {
        let (cache, pending) = (self.cache, self.take());
        // Nothing is left to be dropped.
        std::mem::forget(self);
        match pending {
            None => outcome,
            Some(pending) => cache.notify(*pending, outcome, handle),
        }
    }

    #[inline]
    fn take(&self) -> Option<Box<Pending<T>>> {
        self.pending.take().map(ManuallyDrop::into_inner)
    }

    #[cold]
    #[inline(never)]
    fn send_late(&self) {
        let Some(pending) = self.take() else { return };
        if let Err(panic) = self.cache.call_hooks(*pending) {
            // A second panic would abort the process.
            match std::thread::panicking() {
                true => panics::discard(panic),
                false => resume_unwind(panic),
            }
        }
    }
}

impl<T: Send + Sync + 'static> Drop for Notifications<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if !self.are_none() {
            self.send_late();
        }
    }
}

impl<T: Send + Sync + 'static> SessionCache<T> {
    /// Drops a handle of the cache's own: a payload that panics in its drop must not unwind through
    /// the operation.
    pub(super) fn drop_handle(&self, session: Session<T>) {
        // SAFETY: the count is the handle's own, which no table stands for.
        unsafe { self.domain.release(session.into_address()) };
    }

    #[cold]
    fn notify<R>(
        &self,
        pending: Pending<T>,
        outcome: R,
        handle: impl FnOnce(R) -> Option<Session<T>>,
    ) -> R {
        if let Err(panic) = self.call_hooks(pending) {
            let handle = handle(outcome);
            handle.into_iter().for_each(|session| self.drop_handle(session));
            resume_unwind(panic);
        }
        outcome
    }

    /// Calls the hooks. Must be called without a guard. Every session is shown even if a hook
    /// panics; returns the first panic.
    #[cold]
    fn call_hooks(&self, pending: Pending<T>) -> Result<(), Box<dyn Any + Send>> {
        let hooks = self.settings.hooks();
        let _calls = HookCalls::begin();
        let removed = || pending.first.iter().chain(&pending.others);
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
            removed().for_each(|(session, cause)| guarded(&|| hook(session, *cause)));
        }
        if let (Some(hook), Some(session)) = (&hooks.on_added, &pending.added) {
            guarded(&|| hook(session));
        }
        let removed = pending.first.into_iter().chain(pending.others).map(|(session, _)| session);
        removed.chain(pending.added).for_each(|session| self.drop_handle(session));
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
        self.cache.drop_handle(session);
    }
}
