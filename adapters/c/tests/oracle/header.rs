//! `sessile.h`, as far as the oracle needs it.

use std::ffi::{c_int, c_long, c_uint, c_void};

use openssl_sys::SSL_SESSION;

#[repr(C)]
pub(crate) struct Config {
    _opaque: [u8; 0],
}

#[repr(C)]
pub(crate) struct Store {
    _opaque: [u8; 0],
}

/// `sessile_hooks`, of which the oracle uses one.
#[repr(C)]
pub(crate) struct Hooks {
    pub(crate) size: usize,
    pub(crate) user: *mut c_void,
    pub(crate) on_added: usize,
    pub(crate) on_removed: unsafe extern "C" fn(*mut c_void, *mut SSL_SESSION, c_int),
    pub(crate) on_miss: usize,
    pub(crate) on_absent: usize,
    pub(crate) release: usize,
}

/// The number of a cause that libssl does not tell of.
pub(crate) const REPLACED: c_int = 0;

pub(crate) const POLICY_SOONEST_EXPIRY: c_uint = 2;

/// The place of each counter in `sessile_statistics`.
pub(crate) mod counter {
    pub(crate) const NUMBER: usize = 0;
    pub(crate) const CACHE_FULL: usize = 6;
    pub(crate) const ADDED: usize = 11;
    /// Removed, taken, evicted, expired, flushed.
    pub(crate) const LEFT: std::ops::Range<usize> = 15..20;
    pub(crate) const ALL: usize = 22;
}

pub(crate) type Visit = unsafe extern "C" fn(*mut SSL_SESSION, *mut c_void) -> c_int;

unsafe extern "C" {
    pub(crate) fn sessile_config_new() -> *mut Config;
    pub(crate) fn sessile_config_free(config: *mut Config);
    pub(crate) fn sessile_config_set_capacity(config: *mut Config, sessions: usize) -> c_int;
    pub(crate) fn sessile_config_set_policy(config: *mut Config, policy: c_uint) -> c_int;
    pub(crate) fn sessile_new(config: *const Config, store: *mut *mut Store) -> c_int;
    pub(crate) fn sessile_free(store: *mut Store);
    pub(crate) fn sessile_set_hooks(store: *const Store, hooks: *const Hooks) -> c_int;
    pub(crate) fn sessile_add(
        store: *const Store,
        session: *mut SSL_SESSION,
        changed: *mut c_int,
    ) -> c_int;
    pub(crate) fn sessile_remove(
        store: *const Store,
        session: *mut SSL_SESSION,
        removed: *mut c_int,
    ) -> c_int;
    pub(crate) fn sessile_remove_exactly(
        store: *const Store,
        session: *mut SSL_SESSION,
        removed: *mut c_int,
    ) -> c_int;
    pub(crate) fn sessile_set_session_timeout(
        store: *const Store,
        session: *mut SSL_SESSION,
        seconds: u64,
    ) -> c_int;
    pub(crate) fn sessile_flush(store: *const Store, time: c_long, removed: *mut usize) -> c_int;
    pub(crate) fn sessile_resize(store: *const Store, sessions: usize, former: *mut usize)
    -> c_int;
    pub(crate) fn sessile_set_mode(store: *const Store, flags: u64, former: *mut u64) -> c_int;
    pub(crate) fn sessile_for_each(store: *const Store, visit: Visit, user: *mut c_void) -> c_int;
    pub(crate) fn sessile_stats(store: *const Store, statistics: *mut u64, size: usize) -> c_int;
    pub(crate) fn sessile_collect(store: *const Store) -> c_int;
}
