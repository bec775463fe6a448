//! All sessions at once.

use super::SessionCache;
use super::sweep::Scope;
use crate::session::Session;
use std::collections::HashSet;

impl<T: Send + Sync + 'static> SessionCache<T> {
    /// Handles of all sessions (`SSL_CTX_sessions(3)`), in no particular order.
    ///
    /// A session that is stored during the whole call is in it exactly once; none is in it twice. Those that come or go
    /// meanwhile may or may not be. Expired ones are shown. Aborts when memory is exhausted.
    pub fn snapshot(&self) -> Vec<Session<T>> {
        self.snapshot_of(Scope::ALL)
    }

    /// Iterates over a [`snapshot`](Self::snapshot).
    pub fn iter(&self) -> impl Iterator<Item = Session<T>> + use<T> {
        self.snapshot().into_iter()
    }

    pub(super) fn snapshot_of(&self, scope: Scope<'_>) -> Vec<Session<T>> {
        let mut sessions = Vec::new();
        self.walk(|pin, spot, _| {
            let Some(block) = self.block(pin, &spot) else { return };
            if let (true, Some(address)) = (scope.covers(block), spot.block()) {
                // SAFETY: the block is alive under the guard; the clone is a count of its own.
                sessions.push(Session::clone(&*unsafe { Session::lend(address) }));
            }
        });
        // A session that moved, or left and came back, was met twice.
        let mut seen = HashSet::with_capacity(sessions.len());
        sessions.retain(|session| seen.insert(session.address()));
        sessions
    }
}
