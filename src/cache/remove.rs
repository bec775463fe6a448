//! `remove` and `remove_id`.
#![forbid(unsafe_code)]

use super::budget::Permit;
use super::notify::Held;
use super::operation::Operation;
use super::{Key, SessionCache};
use crate::error::RemovalCause;
use crate::raw::Occupied;
use crate::session::{Block, Session, SessionId};
use crate::settings::Operation as Asked;

impl<T: Send + Sync + 'static> SessionCache<T> {
    /// Removes this very object, if it is stored (BoringSSL, LibreSSL, OpenSSL 0.9.6; OpenSSL since
    /// 1.1 removes by id).
    ///
    /// False when it is not stored, also when another object with the same key is: a newer session
    /// is never removed by mistake. Marks the session non-resumable either way, as
    /// `SSL_CTX_remove_session(3)` does. Of all threads that remove, take or replace it, one
    /// succeeds. Lock-free.
    ///
    /// ```
    /// use sessile::{Session, SessionCache, SessionId};
    ///
    /// let cache = SessionCache::new(100)?;
    /// let id = SessionId::from([1; 32]);
    /// let (old, new) = (Session::new(id, 1), Session::new(id, 2));
    /// cache.add(old.clone())?;
    /// cache.add(new.clone())?;
    /// assert!(!cache.remove(&old)); // it was replaced
    /// assert!(cache.remove(&new));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// If the removal hook panics.
    pub fn remove(&self, session: &Session<T>) -> bool {
        let probe = self.probe_of(session.block());
        let _removing = self.begin_removal(probe.hash());
        let operation = Operation::begin(self);
        let find = || operation.find_same(session, &probe);
        let has_removed = operation.remove_what(find, RemovalCause::Removed);
        // Only after the exchange: a lookup that saw the mark first would remove the session
        // itself, and no caller would be told that it removed it.
        session.set_not_resumable();
        operation.finish((), |()| None);
        has_removed || self.removed_nothing(Key::of_block(session.block()))
    }

    /// Removes whatever is stored under the id, expired or not (OpenSSL since 1.1). False when
    /// nothing is. Lock-free.
    ///
    /// # Panics
    /// If the removal hook panics.
    pub fn remove_id(&self, id: &SessionId) -> bool {
        self.remove_key(Key::of_id(id))
    }

    pub(super) fn remove_key(&self, key: Key<'_>) -> bool {
        let probe = self.probe(key);
        let _removing = self.begin_removal(probe.hash());
        let operation = Operation::begin(self);
        let find = || operation.find(key, &probe).member;
        let has_removed = operation.remove_what(find, RemovalCause::Removed);
        operation.finish((), |()| None);
        has_removed || self.removed_nothing(key)
    }

    /// False. Tells the hook, unless another object is stored under the key. One that a tier
    /// supplied does not count: it may have come since, and will not stay. Must be called without a
    /// guard.
    #[cold]
    fn removed_nothing(&self, key: Key<'_>) -> bool {
        let is_elsewhere = || {
            let stored = self.peek_key(key).map(|session| Held::new(self, session));
            stored.is_none_or(|session| session.block().is_from_tier())
        };
        if self.settings.wants_absent() && is_elsewhere() {
            if let Some(hook) = &self.settings.hooks().on_absent {
                hook(&key.query(Asked::Remove));
            }
        }
        false
    }
}

impl<T: Send + Sync + 'static> Operation<'_, T> {
    /// Removes what `find` finds, until that succeeds or finds nothing.
    #[inline(always)]
    pub(super) fn remove_what<'g>(
        &self,
        find: impl Fn() -> Option<Occupied<'g, Block<T>>>,
        cause: RemovalCause,
    ) -> bool {
        while let Some(member) = find() {
            // LINEARIZE: the removal, for the one whose exchange succeeds.
            if let Some(unlinked) = member.remove() {
                self.retire(unlinked, cause, Permit::GivenBack);
                return true;
            }
            crate::sync::relax();
        }
        false
    }
}
