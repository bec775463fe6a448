//! What a store has counted.

use std::ffi::{CString, c_char, c_int, c_void};
use std::mem::size_of;
use std::ptr;

use sessile_openssl::sessile::{MetricKind, Stats};

use crate::border::{guarded, shared};
use crate::error::Error;
use crate::store::Store;

/// The counters of a store, over all its contexts. When nothing runs,
/// `added - (removed + taken + evicted + expired + flushed)` is `number`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Statistics {
    /// Sessions stored now (`SSL_CTX_sess_number`).
    pub number: u64,
    /// Lookups that handed out a session.
    pub hits: u64,
    /// Lookups that found nothing that may be used (`SSL_CTX_sess_misses`).
    pub misses: u64,
    /// Lookups that found an expired session (`SSL_CTX_sess_timeouts`).
    pub timeouts: u64,
    /// Lookups of an id that is stored under other names only.
    pub context_misses: u64,
    /// Sessions that the hooks supplied (`SSL_CTX_sess_cb_hits`).
    pub tier_hits: u64,
    /// Sessions evicted because there was no room (`SSL_CTX_sess_cache_full`).
    pub cache_full: u64,
    /// Handshakes started (`SSL_CTX_sess_accept`).
    pub accept: u64,
    /// Handshakes completed (`SSL_CTX_sess_accept_good`).
    pub accept_good: u64,
    /// Renegotiations started (`SSL_CTX_sess_accept_renegotiate`).
    pub accept_renegotiate: u64,
    /// Handshakes that resumed (`SSL_CTX_sess_hits`).
    pub resumed: u64,
    /// Adds of a new id.
    pub added: u64,
    /// Adds that replaced another session.
    pub replaced: u64,
    /// Adds of what was stored already.
    pub identical: u64,
    /// Adds that were refused.
    pub rejected: u64,
    /// Sessions removed by call, or found not to be resumable.
    pub removed: u64,
    /// Sessions taken for their single use.
    pub taken: u64,
    /// Sessions evicted; the same as `cache_full`.
    pub evicted: u64,
    /// Expired sessions removed by a lookup or an add.
    pub expired: u64,
    /// Sessions removed by `sessile_flush`.
    pub flushed: u64,
    /// Removed sessions that are not freed yet.
    pub garbage_sessions: u64,
    /// Their bytes.
    pub garbage_bytes: u64,
}

impl From<Stats> for Statistics {
    fn from(stats: Stats) -> Self {
        Self {
            number: stats.number,
            hits: stats.hits,
            misses: stats.misses,
            timeouts: stats.timeouts,
            context_misses: stats.context_misses,
            tier_hits: stats.tier_hits,
            cache_full: stats.cache_full,
            accept: stats.accept,
            accept_good: stats.accept_good,
            accept_renegotiate: stats.accept_renegotiate,
            resumed: stats.resumed,
            added: stats.added,
            replaced: stats.replaced,
            identical: stats.identical,
            rejected: stats.rejected,
            removed: stats.removed,
            taken: stats.taken,
            evicted: stats.evicted,
            expired: stats.expired,
            flushed: stats.flushed,
            garbage_sessions: stats.garbage.sessions,
            garbage_bytes: stats.garbage.bytes,
        }
    }
}

/// Writes the counters to `*statistics`, which is `size` bytes long: `sizeof(sessile_statistics)`.
/// A program that was compiled with fewer of them gets those.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_stats(
    store: *const Store,
    statistics: *mut Statistics,
    size: usize,
) -> Error {
    guarded(|| {
        // SAFETY: the caller gives a store or null.
        let store = unsafe { shared(store)? };
        if statistics.is_null() {
            return Err(Error::Null);
        }
        if size == 0 || size % size_of::<u64>() != 0 {
            return Err(Error::Argument);
        }
        let present = Statistics::from(store.0.stats());
        let known = size.min(size_of::<Statistics>());
        // SAFETY: the caller has room for `size` bytes. What this version does not know becomes 0.
        unsafe {
            ptr::write_bytes(statistics.cast::<u8>(), 0, size);
            ptr::copy_nonoverlapping(
                (&raw const present).cast::<u8>(),
                statistics.cast::<u8>(),
                known,
            );
        }
        Ok(())
    })
}

/// Calls `visit` with each counter and limit of a store, for an exporter: its name, in lower case
/// and underscores, a sentence on what it counts, whether it can fall (1) or only rises (0), and
/// its value. The strings are lent for the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_metrics(
    store: *const Store,
    visit: Option<
        unsafe extern "C" fn(
            name: *const c_char,
            help: *const c_char,
            can_fall: c_int,
            value: u64,
            user: *mut c_void,
        ),
    >,
    user: *mut c_void,
) -> Error {
    guarded(|| {
        // SAFETY: the caller gives a store or null.
        let store = unsafe { shared(store)? };
        let visit = visit.ok_or(Error::Null)?;
        for metric in store.0.status().metrics() {
            let [name, help] = [metric.name, metric.help].map(CString::new);
            let (Ok(name), Ok(help)) = (name, help) else { continue };
            let can_fall = c_int::from(metric.kind == MetricKind::Gauge);
            // SAFETY: the strings live for the call; `user` is what the caller's function wants.
            unsafe { visit(name.as_ptr(), help.as_ptr(), can_fall, metric.value, user) };
        }
        Ok(())
    })
}
