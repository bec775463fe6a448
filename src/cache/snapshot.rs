//! What is stored, seen without any effect: one session, or all at once.
#![forbid(unsafe_code)]

use super::flush::Scope;
use super::operation::Operation;
use super::{Key, SessionCache};
use crate::session::{Session, SessionId};
use std::collections::HashSet;

impl<T: Send + Sync + 'static> SessionCache<T> {
    /// A handle of what is stored under an id, whatever its date.
    ///
    /// For administration, not for resumption: an expired session is shown and stays, nothing is
    /// counted, made younger or asked of a second tier. Wait-free outside of a migration, as
    /// [`get`](Self::get).
    ///
    /// ```
    /// use sessile::{Session, SessionCache, SessionId};
    ///
    /// let cache = SessionCache::new(100)?;
    /// let id = SessionId::from([1; 32]);
    /// cache.add(Session::new(id, "state"))?;
    /// assert_eq!(*cache.peek(&id).unwrap(), "state");
    /// assert_eq!(cache.stats().hits, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn peek(&self, id: &SessionId) -> Option<Session<T>> {
        self.peek_key(Key::of_id(id))
    }

    pub(super) fn peek_key(&self, key: Key<'_>) -> Option<Session<T>> {
        let probe = self.probe(key);
        let operation = Operation::begin(self);
        let member = operation.find(key, &probe).member?;
        if self.is_revoked_block(member.block()) || member.block().is_arriving() {
            return None;
        }
        Some(member.session().clone())
    }

    /// The buckets of a key in the newest table, home first, and the one that its session lies in.
    #[cfg(any(sessile_loom, sessile_shuttle))]
    pub(crate) fn buckets_of(&self, id: &SessionId) -> ([usize; 2], Option<usize>) {
        let key = Key::of_id(id);
        let (probe, operation) = (self.probe(key), Operation::begin(self));
        let member = operation.find(key, &probe).member;
        let buckets = operation.oldest_table().newest().buckets_of(&probe);
        (buckets, member.map(|member| member.bucket()))
    }

    /// Handles of all sessions (`SSL_CTX_sessions(3)`), in no particular order.
    ///
    /// A session that is stored during the whole call is in it exactly once; none is in it twice.
    /// Those that come or go meanwhile may or may not be. Expired ones are shown, revoked ones are
    /// not. Aborts when memory is exhausted.
    pub fn snapshot(&self) -> Vec<Session<T>> {
        self.snapshot_of(Scope::ALL)
    }

    /// Iterates over a [`snapshot`](Self::snapshot).
    pub fn iter(&self) -> impl Iterator<Item = Session<T>> + use<T> {
        self.snapshot().into_iter()
    }

    pub(super) fn snapshot_of(&self, scope: Scope<'_>) -> Vec<Session<T>> {
        let mut sessions = self.snapshot_with_arriving(scope);
        sessions.retain(|session| !session.block().is_arriving());
        sessions
    }

    /// For removals, which have to meet those that are arriving.
    pub(super) fn snapshot_with_arriving(&self, scope: Scope<'_>) -> Vec<Session<T>> {
        let mut sessions = Vec::new();
        self.walk(|_, member| {
            if scope.covers(member.block()) && !self.is_revoked_block(member.block()) {
                sessions.push(member.session().clone());
            }
        });
        // A session that moved, or left and came back, was met twice.
        let mut seen = HashSet::with_capacity(sessions.len());
        sessions.retain(|session| seen.insert(session.address()));
        sessions
    }
}
