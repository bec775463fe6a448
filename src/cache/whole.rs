//! What is asked of a collection: membership, removal by a predicate, iteration, insertion of many.
//! Composed of the other operations.
#![forbid(unsafe_code)]

use super::SessionCache;
use super::flush::Scope;
use super::notify::Held;
use super::view::View;
use crate::session::{Session, SessionId};

impl<T: Send + Sync + 'static> SessionCache<T> {
    /// Whether something is stored under an id, whatever its date. Changes and counts nothing, as
    /// [`peek`](Self::peek).
    pub fn contains(&self, id: &SessionId) -> bool {
        self.peek(id).is_some()
    }

    /// Removes the sessions for which `predicate` answers true; returns how many it removed.
    ///
    /// Asks about the sessions of a [`snapshot`](Self::snapshot), outside of any guard, so the
    /// predicate may call any operation of the cache. A session that comes meanwhile is not asked
    /// about, and one that is replaced meanwhile stays. Each removal is that of
    /// [`remove`](Self::remove): the session becomes non-resumable, the cause is
    /// [`Removed`](crate::RemovalCause::Removed). Walks over the whole table and aborts when memory
    /// for the snapshot is exhausted.
    ///
    /// ```
    /// use sessile::{Session, SessionCache, SessionId};
    ///
    /// let cache = SessionCache::new(100)?;
    /// for user in 0..10_u8 {
    ///     cache.add(Session::new(SessionId::from([user; 32]), user))?;
    /// }
    /// assert_eq!(cache.remove_if(|session| **session < 4), 4); // these users logged out
    /// assert!(!cache.contains(&SessionId::from([3; 32])));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// If the predicate or the removal hook panics. What was removed before stays removed.
    pub fn remove_if(&self, predicate: impl FnMut(&Session<T>) -> bool) -> usize {
        self.remove_of(Scope::ALL, predicate)
    }

    fn remove_of(&self, scope: Scope<'_>, mut predicate: impl FnMut(&Session<T>) -> bool) -> usize {
        // Before the snapshot: what comes after it is told.
        let _removing = self.begin_removal_of_all();
        let sessions = self.snapshot_with_arriving(scope);
        // If the predicate or a hook panics, no payload is dropped by unwinding.
        let held = sessions.into_iter().map(|session| Held::new(self, session));
        let held: Vec<_> = held.collect();
        held.iter().filter(|session| predicate(session) && self.remove(session)).count()
    }
}

impl<T: Send + Sync + 'static> View<'_, T> {
    /// [`SessionCache::contains`] in this context.
    pub fn contains(&self, id: &SessionId) -> bool {
        self.peek(id).is_some()
    }

    /// [`SessionCache::remove_if`] of this context's sessions.
    pub fn remove_if(&self, predicate: impl FnMut(&Session<T>) -> bool) -> usize {
        self.cache().remove_of(self.scope(), predicate)
    }
}

/// Iterates over a [`snapshot`](SessionCache::snapshot).
impl<T: Send + Sync + 'static> IntoIterator for &SessionCache<T> {
    type Item = Session<T>;
    type IntoIter = std::vec::IntoIter<Session<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.snapshot().into_iter()
    }
}

/// Adds each session. Those that are refused are dropped and counted in
/// [`Stats::rejections`](crate::Stats::rejections).
impl<T: Send + Sync + 'static> Extend<Session<T>> for &SessionCache<T> {
    fn extend<I: IntoIterator<Item = Session<T>>>(&mut self, sessions: I) {
        for session in sessions {
            // Counted by reason.
            let _ = self.add(session);
        }
    }
}

/// As for `&SessionCache`.
impl<T: Send + Sync + 'static> Extend<Session<T>> for SessionCache<T> {
    fn extend<I: IntoIterator<Item = Session<T>>>(&mut self, sessions: I) {
        (&*self).extend(sessions);
    }
}
