//! A server's store as one context sees it: what rustls is given.
//!
//! rustls stores a session under a random key of 32 bytes and fetches it back by `get` (TLS 1.2) or
//! by `take` (TLS 1.3, once per ticket that a client offers). The keys it looks up are whatever the
//! peer sent, and it looks before it knows whether the peer has the session's secret.
//!
//! A session is fit for early data only once: when a `take` removes it from the cache. Whatever is
//! handed out otherwise, a copy of what stays or the answer of a second tier, is made unfit.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::StoresServerSessions;
use sessile::{
    Context, Generation, Protocol, Rejection, Resumptions, Secret, Session, SessionCache,
    SessionId, Source, Timestamp, View,
};
use zeroize::Zeroizing;

use crate::window::Bound;
use crate::{events, value};

/// A [`ServerStore`](crate::ServerStore) seen from one [`Context`]; made by
/// [`ServerStore::for_context`](crate::ServerStore::for_context).
///
/// No call blocks, locks or spawns: `put` and `take` are lock-free, `get` does not write to shared
/// memory on a hit beyond what the eviction policy needs. A session is wiped when the cache and
/// every reader let go of it.
#[derive(Clone)]
pub struct ServerContextStore {
    pub(crate) cache: Arc<SessionCache<Secret>>,
    pub(crate) context: Context,
    pub(crate) reusable: bool,
    pub(crate) bound: Arc<Bound>,
    /// Shifts the windows of this context.
    pub(crate) digest: [u8; 32],
    /// The one in which this was made: that of the configuration's handshakes.
    pub(crate) generation: Generation,
    pub(crate) resumptions: Option<Arc<Resumptions>>,
}

impl ServerContextStore {
    /// The context whose sessions this store sees.
    pub fn context(&self) -> Context {
        self.context
    }

    fn view(&self) -> View<'_, Secret> {
        self.cache.view(self.context)
    }

    /// Whether a second tier may have what the cache does not store.
    fn is_heard(&self) -> bool {
        self.cache.has_added_hook()
    }

    /// Whether the context was revoked after this was made.
    fn is_revoked(&self) -> bool {
        self.cache.is_revoked(&self.context, self.generation)
    }

    fn now(&self) -> u64 {
        self.cache.now().as_secs()
    }

    /// What rustls is given of a session that was found.
    fn hand_out(&self, session: &Session<Secret>, is_original: bool) -> Option<Vec<u8>> {
        let now = self.now();
        // A session that carries the end of a window must be of this one: that of a handle with
        // another maximum age would lead out of it. A second tier may have lost the end; then the
        // window is that of the creation.
        let created = match session.deadline() {
            Some(end) if end.as_secs() != self.bound.end(now, &self.digest) => return None,
            Some(_) => session.created_at()?.as_secs(),
            None => value::created_at(session)?,
        };
        if !self.bound.is_current(created, now, &self.digest) {
            return None;
        }
        self.bound.note_resumption(now, &self.digest);
        if let Some(resumptions) = &self.resumptions {
            let protocol =
                if value::is_tls13(session) { Protocol::TLS1_3 } else { Protocol::TLS1_2 };
            let stored = session.created_at().map_or(now, Timestamp::as_secs);
            resumptions.found(protocol, Duration::from_secs(now.saturating_sub(stored)));
        }
        match value::is_tls13(session) && !is_original {
            true => value::without_early_data(session),
            false => Some(session.to_vec()),
        }
    }

    /// A copy of a session that stays.
    fn copy(&self, id: &SessionId, accept: impl Fn(&Session<Secret>) -> bool) -> Option<Vec<u8>> {
        let (view, supplied) = (self.view(), Cell::new(None));
        // The cache keeps what it accepts of a second tier. A TLS 1.3 session must not be kept: the
        // original may be spent, and the next `take` would find it again. So it is refused, and
        // handed out nevertheless.
        let found = view.get_if(id, |session| {
            let is_accepted = accept(session);
            let is_stored =
                || view.peek(id).is_some_and(|stored| Session::ptr_eq(&stored, session));
            if !is_accepted || !value::is_tls13(session) || is_stored() {
                return is_accepted;
            }
            supplied.set(Some(session.clone()));
            false
        });
        let session = found.map(|(session, _)| session).or_else(|| supplied.take())?;
        self.hand_out(&session, false)
    }

    /// Counts an offer that found nothing.
    fn noted(&self, protocol: Protocol, found: Option<Vec<u8>>) -> Option<Vec<u8>> {
        if let (None, Some(resumptions)) = (&found, &self.resumptions) {
            resumptions.missed(protocol);
        }
        found
    }

    fn take_once(&self, id: &SessionId) -> Option<Vec<u8>> {
        let (session, source) = self.view().take_if(id, |session| !value::is_tls12(session))?;
        // Of a second tier, only what can be made unfit.
        let is_original = source == Source::Cache;
        if !is_original && !value::is_tls13(&session) {
            return None;
        }
        self.hand_out(&session, is_original)
    }
}

impl StoresServerSessions for ServerContextStore {
    /// Stores `value`, in place of what was stored under `key`. False, and `value` is wiped, for a
    /// key that is empty or longer than 32 bytes, while the handshake may be one of an earlier
    /// window ([`max_age`](crate::ServerStore::max_age)), after a revocation ([`revoke`](crate::ServerStore::revoke)), and where
    /// the cache refuses the session. What the cache's mode does not store counts as stored if the
    /// cache has a hook that hears of it.
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let value = Zeroizing::new(value);
        let Ok(id) = SessionId::new(&key) else { return false };
        let Some(last_second) = self.bound.last_second(self.now(), &self.digest) else {
            return false;
        };
        let session = Session::<Secret>::builder(id)
            .context(self.context)
            .generation(self.generation)
            .deadline(last_second)
            .try_build_bytes(&value);
        let Some(session) = session else { return false };
        match self.view().add(session) {
            Ok(added) => added.changed(),
            Err(rejected) if rejected.reason() == Rejection::StoreDisabled && self.is_heard() => {
                true
            }
            Err(rejected) => {
                events::refused(rejected.reason());
                false
            }
        }
    }

    /// A copy of what is stored under `key`, which stays. rustls asks so for TLS 1.2 sessions; a
    /// session of TLS 1.3 is answered by a [`reusable`](crate::ServerStore::reusable) store only.
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let id = SessionId::new(key).ok()?;
        if self.is_revoked() {
            return None;
        }
        let found = self.copy(&id, |session| self.reusable || !value::is_tls13(session));
        self.noted(Protocol::TLS1_2, found)
    }

    /// What is stored under `key`. It is gone afterwards, and of any number of racing callers one
    /// gets it, unless the store is [`reusable`](crate::ServerStore::reusable). rustls asks so for TLS 1.3
    /// sessions; one of TLS 1.2 stays and is not answered.
    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let id = SessionId::new(key).ok()?;
        if self.is_revoked() {
            return None;
        }
        let found = match self.reusable {
            true => self.copy(&id, |session| value::is_tls13(session)),
            false => self.take_once(&id),
        };
        self.noted(Protocol::TLS1_3, found)
    }

    fn can_cache(&self) -> bool {
        (self.cache.mode().store || self.is_heard()) && !self.is_revoked()
    }
}

impl fmt::Debug for ServerContextStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerContextStore")
            .field("capacity", &self.cache.capacity())
            .field("reusable", &self.reusable)
            .finish_non_exhaustive()
    }
}
