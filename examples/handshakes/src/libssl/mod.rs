//! libssl as the server's side: with Sessile behind it, or with its own cache.

mod calls;
mod replay;

use std::ffi::{c_int, c_long};
use std::ptr;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Result, bail};
use foreign_types::ForeignTypeRef;
use openssl::pkey::PKey;
use openssl::ssl::{
    SslContext, SslContextBuilder, SslContextRef, SslMethod, SslOptions, SslSession, SslVersion,
};
use openssl::x509::X509;
use sessile::Context;
use sessile_openssl::ServerStore;

use crate::backend::{Errand, Identity, Kind, Store, filler_ids};
use crate::driver::Load;
use crate::figures::{Figures, Timing};
use crate::server::{Acceptor, Tls};
use calls::Caller;

/// The numbers of `SSL_CTX_sess_*`.
const NUMBER: c_int = 20;
const ACCEPT: c_int = 24;
const ACCEPT_GOOD: c_int = 25;
const HITS: c_int = 27;
const MISSES: c_int = 29;
const TIMEOUTS: c_int = 30;
const CACHE_FULL: c_int = 31;

/// Seconds by which an errand dates sessions back: more than any of them lives.
const LONG_AGO: Duration = Duration::from_secs(1_000_000);

/// One store under test.
pub(crate) struct LibsslStore {
    capacity: usize,
    is_full: bool,
    own: Own,
}

enum Own {
    Sessile(ServerStore),
    /// The first context that was made, which has its cache in itself.
    Libssl(OnceLock<SslContext>),
}

impl LibsslStore {
    pub(crate) fn new(kind: Kind, capacity: usize, is_full: bool) -> Result<Self> {
        let own = match kind {
            Kind::Sessile => Own::Sessile(ServerStore::new(capacity)?),
            Kind::Libssl => Own::Libssl(OnceLock::new()),
            Kind::RustlsDefault | Kind::Rustls | Kind::Moka | Kind::MokaLru => {
                bail!("{kind} is no store of libssl")
            }
        };
        Ok(Self { capacity, is_full, own })
    }

    fn kind(&self) -> Kind {
        match self.own {
            Own::Sessile(_) => Kind::Sessile,
            Own::Libssl(_) => Kind::Libssl,
        }
    }

    fn context(
        &self,
        identity: &Identity,
        versions: &[Tls],
        site: [&str; 2],
    ) -> Result<SslContext> {
        let mut context = SslContextBuilder::new(SslMethod::tls_server())?;
        let certificate = X509::from_der(&identity.certificate)?;
        let key = PKey::private_key_from_der(&identity.key)?;
        context.set_certificate(&certificate)?;
        context.set_private_key(&key)?;
        context.set_min_proto_version(versions.first().copied().map(version_of))?;
        context.set_max_proto_version(versions.last().copied().map(version_of))?;
        match &self.own {
            Own::Sessile(store) => store.attach(&mut context, Context::digest(site))?,
            Own::Libssl(_) => use_own_cache(&mut context, self.capacity, site)?,
        }
        let context = context.build();
        if let Own::Libssl(first) = &self.own {
            let _ = first.set(context.clone());
        }
        if self.is_full {
            fill(&context, self.capacity)?;
        }
        Ok(context)
    }
}

/// Stores sessions of clients that never come back.
fn fill(context: &SslContext, capacity: usize) -> Result<()> {
    let caller = Caller::new(context)?;
    for id in filler_ids().take(capacity) {
        caller.store(&*caller.make(&id)?);
    }
    Ok(())
}

impl Store for LibsslStore {
    fn acceptor(&self, identity: &Identity, versions: &[Tls], site: [&str; 2]) -> Result<Acceptor> {
        Ok(Acceptor::Libssl(self.context(identity, versions, site)?))
    }

    fn run(&self, errand: Errand) {
        let Own::Sessile(store) = &self.own else { return };
        match errand {
            Errand::Forget => _ = store.flush_sessions(0),
            Errand::Expire => {
                for session in store.sessions() {
                    let created = session.created_at().unwrap_or_default();
                    session.set_created_at(created - LONG_AGO);
                }
            }
            Errand::Replace => {
                for old in store.sessions() {
                    let copy = old.to_der().and_then(|state| SslSession::from_der(&state));
                    // One that was taken meanwhile comes back; nobody offers it again.
                    let _ = copy.map(|copy| store.add_session(&copy));
                }
            }
        }
    }

    /// Neither cache can be timed in the run.
    fn timing(&self, load: &Load, tls: Tls, each: u64) -> Result<Timing> {
        replay::replay(self.kind(), load, tls, each)
    }

    fn figures(&self) -> Figures {
        let figures = match &self.own {
            Own::Sessile(store) => Figures::of_sessile(&store.stats()),
            Own::Libssl(context) => {
                context.get().map_or_else(Figures::default, |context| of_libssl(context))
            }
        };
        Figures { capacity: self.capacity, ..figures }
    }
}

/// Stateful resumption by libssl's own means, for as many sessions as asked for: of its size it
/// uses one less.
fn use_own_cache(context: &mut SslContextBuilder, capacity: usize, site: [&str; 2]) -> Result<()> {
    context.set_options(SslOptions::NO_TICKET);
    context.set_session_id_context(Context::digest(site).as_bytes())?;
    let size = if capacity > 1 { capacity + 1 } else { capacity };
    context.set_session_cache_size(i32::try_from(size).unwrap_or(i32::MAX));
    Ok(())
}

fn version_of(tls: Tls) -> SslVersion {
    match tls {
        Tls::V1_2 => SslVersion::TLS1_2,
        Tls::V1_3 => SslVersion::TLS1_3,
    }
}

/// What libssl counts by itself. Whatever was stored is there, was evicted, or was found expired.
fn of_libssl(context: &SslContextRef) -> Figures {
    let [number, evicted, expired] =
        [NUMBER, CACHE_FULL, TIMEOUTS].map(|which| counted(context, which));
    let [hits, misses] = [HITS, MISSES].map(|which| counted(context, which));
    Figures {
        puts: number + evicted + expired,
        lookups: hits + misses + expired,
        hits,
        sessions: Some(number),
        evicted: Some(evicted),
        expired: Some(expired),
        accepted: Some(counted(context, ACCEPT)),
        accepted_good: Some(counted(context, ACCEPT_GOOD)),
        ..Figures::default()
    }
}

fn counted(context: &SslContextRef, which: c_int) -> u64 {
    // SAFETY: the context is alive; these commands read a number.
    let count: c_long =
        unsafe { openssl_sys::SSL_CTX_ctrl(context.as_ptr(), which, 0, ptr::null_mut()) };
    u64::try_from(count).unwrap_or_default()
}
