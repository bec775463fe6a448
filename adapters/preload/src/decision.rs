//! Whether a context is attached, which its first connection decides: by then the program has set
//! what it wants.

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use foreign_types::ForeignTypeRef;
use libc::{c_long, c_void};
use openssl_sys::{self as sys, SSL_CTX, SSL_METHOD};
use sessile_openssl::openssl::error::ErrorStack;
use sessile_openssl::openssl::ssl::{SslContextBuilder, SslContextRef, SslSession};
use sessile_openssl::openssl::ssl::{SslOptions, SslSessionCacheMode};
use sessile_openssl::sessile::{Context, SessionCache};
use sessile_openssl::{ServerStore, UPDATE_TIME};

use crate::chain;
use crate::control::{GET_CACHE_MODE, GET_CACHE_SIZE};
use crate::environment::{Attach, Environment};
use crate::info;
use crate::owner;
use crate::real;
use crate::record::{self, Decision, Record};
use crate::report::{self, Counted};
use crate::scope::as_ours;
use crate::size::Size;

unsafe extern "C" {
    fn SSL_CTX_get_ssl_method(context: *const SSL_CTX) -> *const SSL_METHOD;
    fn SSL_CTX_get_timeout(context: *const SSL_CTX) -> c_long;
    fn SSL_CTX_get0_certificate(context: *const SSL_CTX) -> *mut c_void;
}

/// A context is about to be used.
///
/// # Safety
///
/// Null, or a context that is alive.
pub(crate) unsafe fn come_to(context: *mut SSL_CTX) {
    // SAFETY: as the caller says.
    unsafe { decide(context, None) };
}

/// A connection is about to be moved. Only a context with a store can be joined: where another
/// cache resumes, a store would end what it has not resumed.
///
/// # Safety
///
/// Null, or contexts that are alive.
pub(crate) unsafe fn move_to(context: *mut SSL_CTX, origin: *mut SSL_CTX) {
    // SAFETY: as the caller says.
    unsafe {
        let origin = record::of(origin).filter(|origin| origin.store().is_some());
        if origin.is_some() {
            decide(context, origin);
        }
    }
}

/// # Safety
///
/// Null, or a context that is alive.
unsafe fn decide(context: *mut SSL_CTX, origin: Option<&Record>) {
    // SAFETY: as the caller says.
    let Some(record) = (unsafe { record::of(context) }) else { return };
    record.decide(|| {
        // SAFETY: the context is alive. Nobody has a connection of it, and whoever wants one waits
        // for this decision.
        let is_attached = as_ours(|| unsafe { attach(context, record, origin) }).is_some();
        report::count_context(is_attached);
        if is_attached { Decision::Attached } else { Decision::Left }
    });
}

/// Attaches a store, unless the context is not for one.
///
/// # Safety
///
/// A context that is alive and that nobody else uses meanwhile.
unsafe fn attach(context: *mut SSL_CTX, record: &Record, origin: Option<&Record>) -> Option<()> {
    // SAFETY: as the caller says.
    let mode = unsafe { wanted_mode(context)? };
    let joined = origin.and_then(Record::store).cloned();
    // SAFETY: as above.
    let store = joined.or_else(|| unsafe { build(context, mode) })?;
    // SAFETY: as above. The reference is the caller's: it is not given up.
    let mut fresh = unsafe { ManuallyDrop::new(SslContextBuilder::from_ptr(context)) };
    let name = Context::digest([record.id_context().as_slice()]);
    // SAFETY: the context is alive.
    unsafe {
        chain::note(context, record);
        info::note(context, record);
    }
    let attached: Result<(), ErrorStack> = store.store.attach(&mut fresh, name);
    attached.ok()?;
    if let Some(origin) = origin {
        record.join(origin);
    }
    // SAFETY: as above: nobody else uses the context.
    unsafe { chain::install(context) };
    if record.callbacks.remove.get().is_some() {
        chain::tell_removals(&store.store);
    }
    record.keep(store);
    Some(())
}

/// The mode of a server's context that uses libssl's own cache; `None` if it does not, or has a
/// store.
///
/// # Safety
///
/// A context that is alive.
unsafe fn wanted_mode(context: *mut SSL_CTX) -> Option<SslSessionCacheMode> {
    // SAFETY: the context is alive, and these calls change nothing.
    let (mode, options, is_server, has_store) = unsafe {
        let method = SSL_CTX_get_ssl_method(context);
        let has_certificate = !SSL_CTX_get0_certificate(context).is_null();
        let is_server =
            method == sys::TLS_server_method() || (method == sys::TLS_method() && has_certificate);
        (
            real::control(context, GET_CACHE_MODE, 0, std::ptr::null_mut()),
            SslOptions::from_bits_retain(sys::SSL_CTX_get_options(context)),
            is_server,
            ServerStore::of(SslContextRef::from_ptr(context)).is_some(),
        )
    };
    let mode = SslSessionCacheMode::from_bits_retain(mode);
    let is_wanted = match Environment::get().attach {
        Attach::None => false,
        Attach::Servers => true,
        Attach::Stateful => options.contains(SslOptions::NO_TICKET),
    };
    // What keeps sessions as a client too has callbacks that are meant for both sides.
    let others = SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL;
    let is_internal = mode.contains(SslSessionCacheMode::SERVER) && !mode.intersects(others);
    (is_wanted && is_server && is_internal && !has_store).then_some(mode)
}

/// A store as the environment has it, and else as the context.
///
/// # Safety
///
/// A context that is alive.
unsafe fn build(context: *mut SSL_CTX, mode: SslSessionCacheMode) -> Option<Arc<Counted>> {
    let environment = Environment::get();
    // SAFETY: the context is alive, and these calls change nothing.
    let (size, timeout) = unsafe {
        (
            real::control(context, GET_CACHE_SIZE, 0, std::ptr::null_mut()),
            SSL_CTX_get_timeout(context),
        )
    };
    let size = Size::new(environment.capacity.unwrap_or(usize::try_from(size).unwrap_or(0)));
    let timeout = Duration::from_secs(u64::try_from(timeout).unwrap_or(0));
    let builder = SessionCache::<SslSession>::builder()
        .capacity(size.first())
        .timeout(environment.timeout.unwrap_or(timeout))
        .policy(environment.policy);
    let mut store = ServerStore::build(builder).ok()?.reusable(environment.is_reusable);
    if let Some(deadline) = environment.deadline {
        store = store.max_age(deadline);
    }
    let kept = SslSessionCacheMode::SERVER | SslSessionCacheMode::NO_AUTO_CLEAR | UPDATE_TIME;
    store.set_session_cache_mode(mode & kept);
    Some(Counted::new(store, size))
}

/// The store that is in force at a context, attached by this library or by the program.
///
/// # Safety
///
/// Null, or a context that is alive.
pub(crate) unsafe fn store_of(context: *mut SSL_CTX) -> Option<ServerStore> {
    if context.is_null() || owner::of(context).is_some() {
        return None;
    }
    // SAFETY: as the caller says, and of the libssl behind this library.
    ServerStore::of(unsafe { SslContextRef::from_ptr(context) })
}

/// The size of a store that this library has attached to a context.
///
/// # Safety
///
/// A context that lives for `'c`.
pub(crate) unsafe fn size_of<'c>(context: *mut SSL_CTX, store: &ServerStore) -> Option<&'c Size> {
    // SAFETY: as the caller says.
    let counted = unsafe { record::of(context) }.and_then(Record::store)?;
    Arc::ptr_eq(counted.store.cache(), store.cache()).then_some(&counted.size)
}

/// Lets the store of a context grow that a session was added to.
///
/// # Safety
///
/// Null, or a context that is alive.
pub(crate) unsafe fn grow(context: *mut SSL_CTX) {
    // SAFETY: as the caller says.
    if let Some(counted) = unsafe { record::of(context) }.and_then(Record::store) {
        counted.size.grow(&counted.store);
    }
}

/// How many sessions the program's own callback has supplied.
pub(crate) fn supplied(record: &Record) -> u64 {
    // ORDERING: Relaxed: a counter.
    record.supplied.load(Ordering::Relaxed)
}
