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
    Clock, Context, Handshake, Protocol, Session, SessionCache, SessionId, Source, Timestamp,
};

use crate::clock::UnixClock;
use crate::domain::{IdContext, Key};
use crate::events;
use crate::ffi;
use crate::host::{self, Host};
use crate::origin::{Authentication, Origin};
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
    authentication: Authentication,
}

impl ContextStore {
    pub(crate) fn new(store: ServerStore, name: &Context) -> Self {
        Self::at(store, IdContext::new(name))
    }

    /// A store at a context that has its id context.
    pub(crate) fn at(store: ServerStore, id_context: IdContext) -> Self {
        Self { store, id_context, domain: id_context.domain() }
    }

    pub(crate) fn store(&self) -> &ServerStore {
        &self.store
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
        let host = match ssl.session_reused() {
            true => Origin::of(&session).and_then(Origin::host),
            false => Some(Host::new(ssl.servername_raw(NameType::HOST_NAME))),
        };
        Origin::new(host, bounds.authentication).record(&session);
        let is_strange = made.domain() != self.domain;
        if is_strange && !ffi::set_id_context(&session, self.id_context.as_bytes()) {
            return;
        }
        let (_, timeout) = ffi::dates(&session);
        let timeout = Duration::from_secs(timeout).min(self.cache().timeout());
        let Ok(draft) = ServerStore::draft(&session, timeout) else { return };
        if let Ok(stored) = draft
            .deadline(bounds.deadline)
            .generation(bounds.authentication.generation)
            .try_build(session)
        {
            if let Err(rejected) = self.cache().add(stored) {
                events::refused(rejected.reason());
            }
        }
    }

    /// The bounds of a full handshake's sessions, which belong here. What it shows of the way of
    /// such connections is learned.
    fn authenticated(&self, ssl: &mut SslRef, made_in: Context) -> Option<Bounds> {
        let &mut Progress { time, generation, .. } = Progress::begun(ssl)?;
        let deadline = (time + self.store.longest_age()).min(peer::expiry(ssl));
        // A second ticket bears the stamp that the first one was given, and shows nothing new.
        let way = Way::new(made_in, ssl.servername_raw(NameType::HOST_NAME));
        self.learn(&way, made_in);
        Some(Bounds { deadline, authentication: Authentication { time, generation } })
    }

    /// A connection that came to `start` this way ended here.
    fn learn(&self, way: &Way, start: Context) {
        match start == self.domain {
            true => self.shared().routes.forget(way),
            false => self.shared().routes.learn(way, self.as_route()),
        }
    }

    /// The bounds of what a resumed handshake issues; `None` where it has no place. A client can
    /// have shown a certificate since, after the handshake.
    fn inherited(&self, ssl: &mut SslRef) -> Option<Bounds> {
        let progress = Progress::of(ssl)?;
        let parent = progress.parent.as_ref().filter(|parent| self.is_home_of(parent))?;
        let authentication = parent.authentication;
        let deadline = parent.deadline.min(authentication.time + self.store.longest_age());
        let deadline = deadline.min(peer::expiry(ssl));
        Some(Bounds { deadline, authentication })
    }

    fn as_route(&self) -> Route {
        let (is_reusable, longest_age) = (self.store.is_reusable(), self.store.longest_age());
        Route { domain: self.domain, is_reusable, longest_age }
    }

    /// The session that a client offers to resume.
    pub(crate) fn find(&self, ssl: &mut SslRef, id: &[u8]) -> Option<SslSession> {
        let id = SessionId::new(id).ok()?;
        if let Some(session) = self.recall(ssl, &id) {
            return Some(session);
        }
        // A client may offer several, and libssl has passed over what was found under the last.
        pass_over(ssl);
        let protocol = Protocol(ffi::connection_version(ssl));
        let found = self.search(ssl, id, protocol);
        if let Some(resumptions) = self.store.resumptions() {
            match &found {
                Some((_, created)) => {
                    let now = UnixClock.now().as_secs();
                    let age = Duration::from_secs(now.saturating_sub(created.as_secs()));
                    resumptions.found(protocol, age);
                }
                None => resumptions.missed(protocol),
            }
        }
        found.map(|(session, _)| session)
    }

    /// The session, and when it was made.
    fn search(
        &self,
        ssl: &mut SslRef,
        id: SessionId,
        protocol: Protocol,
    ) -> Option<(SslSession, Timestamp)> {
        let host = ffi::requested_host(ssl);
        let way = Way::new(self.domain, host);
        let route = self.shared().routes.find(&way).unwrap_or_else(|| self.as_route());
        let is_reusable = self.store.is_reusable() && route.is_reusable;
        let is_single_use = protocol == Protocol::TLS1_3 && !is_reusable;

        let view = self.cache().view(route.domain).protocol(protocol);
        let accept = |session: &Session<SslSession>| {
            let is_for_host = protocol == Protocol::TLS1_3 || host::fits(session, host);
            is_for_host && is_sound(session, &id, route.domain) && self.is_valid(session, &route)
        };
        let watch = view.watch(&id);
        let (session, source) = match is_single_use {
            true => view.take_if(&id, accept),
            false => view.get_if(&id, accept),
        }?;
        let handed = self.hand_over(&session)?;
        if route.domain != self.domain {
            self.shared().routes.lend(self.domain, &id, route);
        }
        let context = ffi::address(ssl.ssl_context());
        let progress = Progress::begun(ssl)?;
        let authentication = Authentication::of(&session);
        let is_only_copy = is_single_use && source == Source::Cache;
        progress.parent = Some(Parent {
            store: Arc::clone(self.store.shared()),
            id,
            protocol,
            domain: route.domain,
            context,
            authentication: Authentication {
                generation: authentication.generation.min(progress.generation),
                ..authentication
            },
            looked_in: self.domain,
            way,
            deadline: session.deadline().or(session.expires_at()).unwrap_or(Timestamp::MIN),
            is_only_copy,
            is_resumed: false,
        });
        let created = session.created_at().unwrap_or_default();
        progress.taken = is_only_copy.then_some((session, watch));
        Some((handed, created))
    }

    /// Whether a session may be resumed where a route ends, whatever dates it is stored with.
    fn is_valid(&self, session: &Session<SslSession>, route: &Route) -> bool {
        let Authentication { time, generation } = Authentication::of(session);
        let longest_age = self.store.longest_age().min(route.longest_age);
        UnixClock.now() <= time + longest_age
            && !self.cache().is_revoked(&route.domain, generation)
            // Without a record the date decides.
            && (Origin::of(session).is_some()
                || self.cache().revoked_at(&route.domain).is_none_or(|at| at < time))
    }

    /// What this connection took under the id, after a HelloRetryRequest. By now it can be in the
    /// context that it ends in.
    fn recall(&self, ssl: &SslRef, id: &SessionId) -> Option<SslSession> {
        let progress = Progress::of(ssl)?;
        let parent = progress.parent.as_ref()?;
        let is_here = self.is_home_of(parent) || self.looked_for(parent);
        let (taken, watch) =
            progress.taken.as_ref().filter(|(taken, _)| taken.id() == *id && is_here)?;
        if self.cache().has_removed_since(*watch) {
            return None;
        }
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
        let is_alone = parent.is_some_and(|parent| parent.is_only_copy);
        let origin = ssl.session().and_then(Origin::of);
        is_alone
            && !self.store.is_reusable()
            && may_resume(ssl, Some(self))
            && origin.is_some_and(Origin::spend_early_data)
    }

    /// Whether the session of a connection was made in this context, or one of its name.
    fn has_made(&self, ssl: &SslRef) -> bool {
        let made = ssl.session().and_then(IdContext::of);
        made.is_some_and(|made| made.domain() == self.domain)
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
    Origin::is_alive(session)
        && session.id() == id.as_bytes()
        && IdContext::of(session).is_some_and(|made| made.domain() == domain)
}

/// Whether a connection that resumes may be in its present context, where `current` is attached.
/// One that demands a certificate by now needs a session with one.
fn may_resume(ssl: &SslRef, current: Option<&ContextStore>) -> bool {
    const DEMANDS: SslVerifyMode = SslVerifyMode::PEER.union(SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    let is_shown = !ssl.verify_mode().contains(DEMANDS) || ssl.peer_certificate().is_some();
    let parent = Progress::of(ssl).and_then(|progress| progress.parent.as_ref());
    parent.filter(|_| is_shown).is_some_and(|parent| {
        let is_home = current.is_some_and(|store| store.is_home_of(parent));
        let since = parent.authentication.generation;
        // A store that was taken from the context during the handshake is no reason to end it.
        (is_home || parent.stays_in(ssl.ssl_context()))
            && !parent.store.cache.is_revoked(&parent.domain, since)
    })
}

/// Whether a connection resumes a session that `current`, its present context, is not the place
/// for. Sessions that no store handed over are the program's, and libssl has compared their id
/// context with the connection's. That does not hold where the connection was moved since to a
/// context with a store that has not made them.
pub(crate) fn is_astray(ssl: &SslRef, current: Option<&ContextStore>) -> bool {
    let progress = Progress::of(ssl);
    if progress.is_some_and(|progress| progress.is_over || progress.is_refused)
        || !ssl.session_reused()
    {
        return progress.is_some_and(|progress| progress.is_refused);
    }
    match progress.is_some_and(|progress| progress.parent.is_some()) {
        true => !may_resume(ssl, current),
        false => {
            let is_moved = !progress.is_some_and(|progress| progress.stays_in(ssl.ssl_context()));
            is_moved && current.is_some_and(|store| !store.has_made(ssl))
        }
    }
}

/// Ends a handshake that resumed a session where it does not belong. The session is spent, and the
/// next connection of its kind is known to end in `current`.
pub(crate) fn refuse(ssl: &mut SslRef, current: Option<&ContextStore>) {
    ffi::end(ssl);
    let Some(progress) = Progress::begun(ssl) else { return };
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

/// libssl resumes another session than the one that was found last, or none.
fn pass_over(ssl: &mut SslRef) {
    give_back(ssl);
    if let Some(progress) = Progress::of_mut(ssl) {
        progress.parent = None;
    }
}

/// A handshake resumes a session: perhaps one that no store has handed over, such as a pre-shared
/// key that the client offered beside what was found and did not fit.
pub(crate) fn settle(ssl: &mut SslRef) {
    let Some(progress) = Progress::of(ssl).filter(|progress| !progress.is_over) else { return };
    let Some(parent) = progress.parent.as_ref().filter(|parent| !parent.is_resumed) else { return };
    match ssl.session().is_some_and(|session| session.id() == parent.id.as_bytes()) {
        true => {
            let parent = Progress::of_mut(ssl).and_then(|progress| progress.parent.as_mut());
            parent.into_iter().for_each(|parent| parent.is_resumed = true);
        }
        false => pass_over(ssl),
    }
}

/// Gives back what a connection took, whose handshake failed before libssl resumed it.
pub(crate) fn give_back(ssl: &mut SslRef) {
    let Some(progress) = Progress::of_mut(ssl) else { return };
    let taken = progress.taken.take().filter(|(taken, _)| Origin::is_alive(taken));
    // A handle of its own: one that is added again counts as taken before.
    let again = taken.and_then(|(taken, watch)| {
        let builder = Session::<SslSession>::builder(taken.id()).context(taken.context());
        let builder = builder.protocol(taken.protocol()).generation(taken.generation());
        let builder = builder.created_at(taken.created_at()?).timeout(taken.timeout()?);
        let deadline = taken.deadline().unwrap_or(Timestamp::MAX);
        let builder = builder.deadline(deadline).resumable(taken.is_resumable());
        Some((builder.try_build((*taken).clone()).ok()?, watch))
    });
    if let (Some((taken, watch)), Some(parent)) = (again, &progress.parent) {
        // A session that was removed meanwhile, or that the cache refuses, is one full handshake
        // more.
        let _ = parent.store.cache.add_unless_removed(taken, watch);
    }
}
