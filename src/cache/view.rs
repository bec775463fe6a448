//! The cache as seen from one context.
#![forbid(unsafe_code)]

use super::flush::Scope;
use super::removals::Watch;
use super::tier::Source;
use super::{Key, SessionCache};
use crate::error::{Added, Rejected, Rejection};
use crate::session::{Context, Generation, Protocol, Session, SessionId};
use crate::timestamp::Timestamp;
use std::fmt;

/// A [`SessionCache`] narrowed to one context: other contexts' sessions do not exist here.
///
/// [`protocol`](Self::protocol) narrows the view to one protocol. Without it, lookups use
/// [`Protocol::UNSPECIFIED`], and operations on all sessions cover every protocol of the context.
///
/// ```
/// use sessile::{Context, Session, SessionCache, SessionId};
///
/// let cache = SessionCache::new(100)?;
/// let (web, api) = (Context::digest(["web"]), Context::digest(["api"]));
/// let id = SessionId::from([1; 32]);
/// cache.add(Session::<()>::builder(id).context(web).build(()))?;
/// assert!(cache.view(web).get(&id).is_some());
/// assert!(cache.view(api).get(&id).is_none());
/// assert_eq!(cache.stats().context_misses, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct View<'c, T> {
    cache: &'c SessionCache<T>,
    context: Context,
    protocol: Option<Protocol>,
}

impl<T: Send + Sync + 'static> SessionCache<T> {
    /// The cache as seen from one context: only that context's sessions exist.
    pub fn view(&self, context: Context) -> View<'_, T> {
        View { cache: self, context, protocol: None }
    }
}

impl<T> Clone for View<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for View<'_, T> {}

impl<'c, T: Send + Sync + 'static> View<'c, T> {
    /// Narrows the view to one protocol.
    #[must_use]
    pub fn protocol(self, protocol: Protocol) -> Self {
        Self { protocol: Some(protocol), ..self }
    }

    /// The context.
    pub fn context(&self) -> Context {
        self.context
    }

    /// The whole cache.
    pub fn cache(&self) -> &'c SessionCache<T> {
        self.cache
    }

    /// [`SessionCache::add`]. A session of another context or protocol is refused with
    /// [`Rejection::Context`].
    ///
    /// # Errors
    /// Those of [`SessionCache::add`].
    pub fn add(&self, session: Session<T>) -> Result<Added<T>, Rejected<T>> {
        if self.scope().covers(session.block()) {
            return self.cache.add(session);
        }
        self.cache.domain.pin().state().counters.count_rejection(Rejection::Context);
        Err(Rejected::new(Rejection::Context, session))
    }

    /// [`SessionCache::get`] in this context.
    pub fn get(&self, id: &SessionId) -> Option<Session<T>> {
        self.cache.get_key(self.key(id))
    }

    /// [`SessionCache::read`] in this context.
    pub fn read<R>(&self, id: &SessionId, f: impl FnOnce(&Session<T>) -> R) -> Option<R> {
        self.cache.read_key(self.key(id), f)
    }

    /// [`SessionCache::peek`] in this context.
    pub fn peek(&self, id: &SessionId) -> Option<Session<T>> {
        self.cache.peek_key(self.key(id))
    }

    /// [`SessionCache::take`] in this context.
    pub fn take(&self, id: &SessionId) -> Option<Session<T>> {
        self.cache.take_key(self.key(id))
    }

    /// [`SessionCache::remove`]. False for a session of another context or protocol, which stays.
    pub fn remove(&self, session: &Session<T>) -> bool {
        self.scope().covers(session.block()) && self.cache.remove(session)
    }

    /// [`SessionCache::remove_id`] in this context.
    pub fn remove_id(&self, id: &SessionId) -> bool {
        self.cache.remove_key(self.key(id))
    }

    /// [`take`](Self::take) of a session that satisfies `accept`. Also returns where it came from.
    ///
    /// A session that does not satisfy `accept` stays where it is, and the lookup counts as a miss.
    /// `accept` may be called more than once. For a stored session it runs under a guard.
    pub fn take_if(
        &self,
        id: &SessionId,
        accept: impl Fn(&Session<T>) -> bool,
    ) -> Option<(Session<T>, Source)> {
        self.cache.take_key_if(self.key(id), accept)
    }

    /// [`get`](Self::get) of a session that satisfies `accept`. Also returns where it came from.
    ///
    /// A session that does not satisfy `accept` is left as it is, and the lookup counts as a miss.
    pub fn get_if(
        &self,
        id: &SessionId,
        accept: impl Fn(&Session<T>) -> bool,
    ) -> Option<(Session<T>, Source)> {
        self.cache.get_key_if(self.key(id), accept)
    }

    /// Notes which removals of a session were demanded so far, for
    /// [`SessionCache::add_unless_removed`]. Call it before the session is taken, or asked for, and
    /// by the same view: context and protocol are part of the key.
    pub fn watch(&self, id: &SessionId) -> Watch {
        self.cache.watch_hash(self.cache.probe(self.key(id)).hash())
    }

    /// [`SessionCache::revoke`] of this context, whatever the protocol.
    pub fn revoke(&self) -> Generation {
        self.cache.revoke(self.context)
    }

    /// [`SessionCache::flush_expired`] for this context's sessions.
    pub fn flush_expired(&self) -> usize {
        self.flush_expired_at(self.cache.now())
    }

    /// [`SessionCache::flush_expired_at`] for this context's sessions.
    pub fn flush_expired_at(&self, time: impl Into<Timestamp>) -> usize {
        self.cache.flush_expired_in(self.scope(), time.into())
    }

    /// [`SessionCache::clear`] for this context's sessions.
    pub fn clear(&self) -> usize {
        self.cache.clear_in(self.scope())
    }

    /// The number of this context's sessions. Walks over the whole table, unlike
    /// [`SessionCache::len`].
    pub fn len(&self) -> usize {
        self.snapshot().len()
    }

    /// Whether this context has no session. Walks over the whole table.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// [`SessionCache::snapshot`] of this context's sessions.
    pub fn snapshot(&self) -> Vec<Session<T>> {
        self.cache.snapshot_of(self.scope())
    }

    /// Iterates over a [`snapshot`](Self::snapshot).
    pub fn iter(&self) -> impl Iterator<Item = Session<T>> + use<T> {
        self.snapshot().into_iter()
    }

    fn key<'k>(&'k self, id: &'k SessionId) -> Key<'k> {
        Key {
            id,
            context: &self.context,
            protocol: self.protocol.as_ref().unwrap_or(&Protocol::UNSPECIFIED),
        }
    }

    pub(super) fn scope(&self) -> Scope<'_> {
        Scope { context: Some(&self.context), protocol: self.protocol }
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for View<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("context", &self.context)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}
