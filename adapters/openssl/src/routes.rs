//! Where connections end that a server name callback moves to another context.
//!
//! libssl looks a session up before it calls the server name callback. So the lookup is made in the
//! context that the connection came to, for a session that belongs to the context it will end in. A
//! full handshake shows which that is, for its server name; the next lookup goes there.
//!
//! A route is a guess, which costs a full handshake where it is wrong or forgotten. That a session
//! is not resumed where it does not belong is checked for each handshake on its own.
#![forbid(unsafe_code)]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sessile::{Context, Protocol, Session, SessionCache, SessionId, View};
use sha2::{Digest, Sha256};

/// Routes, and sessions handed over by routes, that are remembered.
const ROUTES_MAX: usize = 4_096;

/// Protocol tags of the two kinds of entries.
const ROUTE: Protocol = Protocol(1);
const ORIGIN: Protocol = Protocol(2);

#[derive(Default)]
pub(crate) struct Routes {
    /// Made with the first one: most servers move no connections.
    entries: OnceLock<SessionCache<Route>>,
    /// Something was handed over by a route: until then every session is where it says.
    has_lent: AtomicBool,
}

/// What a connection shows before its lookup: where it came to, and which host it asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way(SessionId);

impl Way {
    /// Host names are equal whatever the case of their letters.
    pub(crate) fn new(domain: Context, host: Option<&[u8]>) -> Self {
        let digest = Sha256::new().chain_update(domain.as_bytes());
        let digest = digest.chain_update([u8::from(host.is_some())]);
        let digest = digest.chain_update(host.unwrap_or_default().to_ascii_lowercase());
        Self(SessionId::from(<[u8; 32]>::from(digest.finalize())))
    }
}

/// The context that connections end in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) domain: Context,
    pub(crate) is_reusable: bool,
    pub(crate) longest_age: Duration,
}

impl Routes {
    /// Where connections end that come this way; `None` if they stay.
    pub(crate) fn find(&self, way: &Way) -> Option<Route> {
        self.view(ROUTE)?.read(&way.0, |route| **route)
    }

    /// A connection that came this way ended there.
    pub(crate) fn learn(&self, way: &Way, route: Route) {
        self.put(way.0, ROUTE, route);
    }

    /// A connection that came this way stayed.
    pub(crate) fn forget(&self, way: &Way) {
        if let Some(routes) = self.view(ROUTE) {
            routes.remove_id(&way.0);
        }
    }

    /// A session of another domain is handed to a connection of `domain`, under whose id context
    /// libssl will speak of it.
    pub(crate) fn lend(&self, domain: Context, id: &SessionId, route: Route) {
        // ORDERING: Relaxed: whoever is told of this session afterwards knows of it by more than
        // time.
        self.has_lent.store(true, Ordering::Relaxed);
        self.put(origin_id(domain, id), ORIGIN, route);
    }

    /// The domain where a session is stored that libssl takes for one of `domain`.
    pub(crate) fn origin(&self, domain: Context, id: &SessionId) -> Context {
        // ORDERING: Relaxed, as in `lend`.
        if !self.has_lent.load(Ordering::Relaxed) {
            return domain;
        }
        let found = self
            .view(ORIGIN)
            .and_then(|origins| origins.read(&origin_id(domain, id), |route| route.domain));
        found.unwrap_or(domain)
    }

    /// `None` before the first entry.
    fn view(&self, kind: Protocol) -> Option<View<'_, Route>> {
        Some(self.entries.get()?.view(Context::NONE).protocol(kind))
    }

    fn put(&self, id: SessionId, kind: Protocol, route: Route) {
        if self.entries.get().is_none() {
            // Without memory for it nothing is learned.
            let Ok(made) = SessionCache::new(ROUTES_MAX) else { return };
            // Another thread may have been faster.
            let _ = self.entries.set(made);
        }
        let Some(entries) = self.entries.get() else { return };
        if let Ok(entry) = Session::<Route>::builder(id).protocol(kind).try_build(route) {
            // A route that is refused costs a full handshake.
            let _ = entries.add(entry);
        }
    }
}

fn origin_id(domain: Context, id: &SessionId) -> SessionId {
    let digest = Sha256::new().chain_update(domain.as_bytes()).chain_update(id.as_bytes());
    SessionId::from(<[u8; 32]>::from(digest.finalize()))
}
