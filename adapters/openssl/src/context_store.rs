//! A server's store as one context sees it: what the callbacks work on.
//!
//! libssl looks a session up in the context that the connection came to, and a server name callback
//! can move the connection to another one afterwards. Hence three rules:
//!
//! - a full handshake's session belongs to the domain that the handshake ended in;
//! - a lookup goes to one domain, where connections of that server name end, and a connection that
//!   resumes and does not end there is ended;
//! - what a resumed handshake issues stays in the domain of the session that it was resumed from.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use openssl::ssl::{NameType, SslRef, SslSession, SslSessionRef, SslVerifyMode};
use sessile::{
    Clock, Context, Generation, Handshake, Protocol, Session, SessionCache, SessionId, Source, Timestamp,
};

use crate::clock::UnixClock;
use crate::domain::{IdContext, Key};
use crate::ffi;
use crate::host::{self, Host};
use crate::peer;
use crate::progress::{Parent, Progress};
use crate::routes::{Route, Way};
use crate::server::{ServerStore, Shared};

/// A store at one context.
#[derive(Debug)]
pub(crate) struct ContextStore {
    store: ServerStore,
    id_context: IdContext,
    domain: Context,
}

/// What ends all that is issued in a handshake.
struct Bounds {
    deadline: Timestamp,
    generation: Generation,
}

impl ContextStore {
    pub(crate) fn new(store: ServerStore, name: &Context) -> Self {
        let id_context = IdContext::new(name);
        Self { store, id_context, domain: id_context.domain() }
    }

    pub(crate) fn id_context(&self) -> &IdContext {
        &self.id_context
    }

    fn shared(&self) -> &Shared {
        self.store.shared()
    }

    fn cache(&self) -> &SessionCache<SslSession> {
        &self.shared().cache
    }

    pub(crate) fn record(&self, event: Handshake) {
        self.cache().record(event);
    }

    /// Stores what a handshake made, for as long as both the session and the store allow.
    pub(crate) fn keep(&self, ssl: &mut SslRef, session: SslSession) {
        let Some(made) = IdContext::of(&session) else { return };
        let bounds = match ssl.session_reused() {
            true => self.inherited(ssl),
            false => self.authenticated(ssl, made.domain()),
        };
        let Some(bounds) = bounds else { return };
        if !ssl.session_reused() {
            Host::new(ssl.servername_raw(NameType::HOST_NAME)).mark(&session);
        }
        let is_strange = made.domain() != self.domain;
        if is_strange && !ffi::set_id_context(&session, self.id_context.as_bytes()) {
            return;
        }
        let (_, timeout) = ffi::dates(&session);
        let timeout = Duration::from_secs(timeout).min(self.cache().timeout());
        let Ok(draft) = ServerStore::draft(&session, timeout) else { return };
        if let Ok(stored) = draft.deadline(bounds.deadline).generation(bounds.generation).try_build(session) {
            // A session that the cache refuses is one full handshake more.
            let _ = self.cache().add(stored);
        }
    }

    /// The bounds of a full handshake's sessions, which belong here. What it shows of the way of
    /// such connections is learned.
    fn authenticated(&self, ssl: &mut SslRef, made_in: Context) -> Option<Bounds> {
        let deadline = (UnixClock.now() + self.store.longest_age()).min(peer::expiry(ssl));
        let generation = Progress::begun(ssl)?.generation;
        // A second ticket bears the stamp that the first one was given, and shows nothing new.
        let way = Way::new(made_in, ssl.servername_raw(NameType::HOST_NAME));
        self.learn(&way, made_in);
        Some(Bounds { deadline, generation })
    }

    /// A connection that came to `start` this way ended here.
    fn learn(&self, way: &Way, start: Context) {
        match start == self.domain {
            true => self.shared().routes.forget(way),
            false => self.shared().routes.learn(way, self.as_route()),
        }
    }

    /// The bounds of what a resumed handshake issues; `None` where it has no place.
    fn inherited(&self, ssl: &mut SslRef) -> Option<Bounds> {
        let progress = Progress::of(ssl)?;
        let parent = progress.parent.as_ref().filter(|parent| self.is_home_of(parent))?;
        Some(Bounds { deadline: parent.deadline, generation: progress.generation })
    }

    fn as_route(&self) -> Route {
        Route { domain: self.domain, is_reusable: self.store.is_reusable() }
    }

    /// The session that a client offers to resume.
    pub(crate) fn find(&self, ssl: &mut SslRef, id: &[u8]) -> Option<SslSession> {
        let id = SessionId::new(id).ok()?;
        if let Some(session) = self.recall(ssl, &id) {
            return Some(session);
        }
        let protocol = Protocol(ffi::connection_version(ssl));
        let host = ffi::requested_host(ssl);
        let way = Way::new(self.domain, host);
        let route = self.shared().routes.find(&way).unwrap_or_else(|| self.as_route());
        let is_reusable = self.store.is_reusable() && route.is_reusable;
        let is_single_use = protocol == Protocol::TLS1_3 && !is_reusable;

        let view = self.cache().view(route.domain).protocol(protocol);
        let accept = |session: &Session<SslSession>| {
            let is_for_host = protocol == Protocol::TLS1_3 || host::fits(session, host);
            is_for_host && is_sound(session, &id, route.domain)
        };
        let (session, source) = match is_single_use {
            true => view.take_if(&id, accept),
            false => view.get_if(&id, accept),
        }?;
        let handed = self.hand_over(&session)?;
        if route.domain != self.domain {
            self.shared().routes.lend(self.domain, &id, route);
        }
        let progress = Progress::begun(ssl)?;
        let is_only_copy = is_single_use && source == Source::Cache;
        progress.parent = Some(Parent {
            store: Arc::clone(self.store.shared()),
            id,
            protocol,
            domain: route.domain,
            looked_in: self.domain,
            way,
            deadline: session.deadline().or(session.expires_at()).unwrap_or(Timestamp::MIN),
            is_only_copy,
        });
        progress.taken = is_only_copy.then_some(session);
        Some(handed)
    }

    /// What this connection took under the id, after a HelloRetryRequest. By now it can be in the
    /// context that it ends in.
    fn recall(&self, ssl: &SslRef, id: &SessionId) -> Option<SslSession> {
        let progress = Progress::of(ssl)?;
        let parent = progress.parent.as_ref()?;
        let is_here = self.is_home_of(parent) || self.looked_for(parent);
        let taken = progress.taken.as_ref().filter(|taken| taken.id() == *id && is_here)?;
        self.hand_over(taken)
    }

    /// The session itself, if it is of this context; else a copy for it.
    fn hand_over(&self, session: &SslSessionRef) -> Option<SslSession> {
        match IdContext::of(session)? == self.id_context {
            true => Some(session.to_owned()),
            false => ffi::copy_for(session, self.id_context.as_bytes()),
        }
    }

    /// Whether early data may be read from a connection: nobody else was, or will be, handed its
    /// session.
    pub(crate) fn allows_early_data(&self, ssl: &SslRef) -> bool {
        let parent = Progress::of(ssl).and_then(|progress| progress.parent.as_ref());
        parent.is_some_and(|parent| parent.is_only_copy) && !self.store.is_reusable() && self.may_resume(ssl)
    }

    /// Whether a connection that resumes may be in this context. One that demands a certificate by
    /// now needs a session with one.
    fn may_resume(&self, ssl: &SslRef) -> bool {
        const DEMANDS: SslVerifyMode = SslVerifyMode::PEER.union(SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        let is_shown = !ssl.verify_mode().contains(DEMANDS) || ssl.peer_certificate().is_some();
        Progress::of(ssl).filter(|_| is_shown).is_some_and(|progress| {
            progress.parent.as_ref().is_some_and(|parent| self.is_home_of(parent))
                && !self.cache().is_revoked(&self.domain, progress.generation)
        })
    }

    /// Whether a session belongs to this context.
    fn is_home_of(&self, parent: &Parent) -> bool {
        parent.store.number == self.shared().number && parent.domain == self.domain
    }

    /// Whether this context, or one of its name, has looked for a session.
    fn looked_for(&self, parent: &Parent) -> bool {
        parent.store.number == self.shared().number && parent.looked_in == self.domain
    }

    /// Forgets what libssl says must not be resumed: whatever is stored under the session's key.
    pub(crate) fn forget(&self, session: &SslSessionRef) {
        if let Some(key) = Key::of(session) {
            let domain = self.shared().routes.origin(key.domain, &key.id);
            self.cache().view(domain).protocol(key.protocol).remove_id(&key.id);
        }
    }
}

/// Whether libssl would resume a session under this id: programs and second tiers can file one
/// under a false id, which libssl did not notice before 3.6.3.
fn is_sound(session: &SslSessionRef, id: &SessionId, domain: Context) -> bool {
    ffi::is_resumable(session)
        && session.id() == id.as_bytes()
        && IdContext::of(session).is_some_and(|made| made.domain() == domain)
}

/// Whether a connection resumes a session of a store that `current`, its present context, is not
/// the place for. Sessions that no store handed over are the program's.
pub(crate) fn is_astray(ssl: &SslRef, current: Option<&ContextStore>) -> bool {
    let Some(progress) = Progress::of(ssl) else { return false };
    let is_watched = !progress.is_over && progress.parent.is_some() && ssl.session_reused();
    progress.is_refused || is_watched && current.is_none_or(|store| !store.may_resume(ssl))
}

/// Ends a handshake that resumed a session where it does not belong. The session is spent, and the
/// next connection of its kind is known to end in `current`.
pub(crate) fn refuse(ssl: &mut SslRef, current: Option<&ContextStore>) {
    ffi::end(ssl);
    let Some(progress) = Progress::of_mut(ssl) else { return };
    progress.finish();
    if std::mem::replace(&mut progress.is_refused, true) {
        return;
    }
    ffi::alert_before_server_hello(ssl);
    let Some(progress) = Progress::of_mut(ssl) else { return };
    let Some(parent) = progress.parent.take() else { return };
    parent.store.cache.view(parent.domain).protocol(parent.protocol).remove_id(&parent.id);
    match current.filter(|current| current.shared().number == parent.store.number) {
        Some(current) => current.learn(&parent.way, parent.looked_in),
        None => parent.store.routes.forget(&parent.way),
    }
}

/// Gives back what a connection took, whose handshake failed before libssl resumed it.
pub(crate) fn give_back(ssl: &mut SslRef) {
    let Some(progress) = Progress::of_mut(ssl) else { return };
    let taken = progress.taken.take().filter(|taken| ffi::is_resumable(taken));
    if let (Some(taken), Some(parent)) = (taken, &progress.parent) {
        // A session that the cache refuses is one full handshake more.
        let _ = parent.store.cache.add(taken);
    }
}
