//! What a store is built with.

use std::ffi::{c_int, c_uint};
use std::ptr;
use std::time::Duration;

use foreign_types::ForeignTypeRef;
use openssl_sys as sys;
use sessile_openssl::ServerStore;
use sessile_openssl::openssl::ssl::{SslSession, SslSessionCacheMode};
use sessile_openssl::sessile::{self, Capacity, Session, SessionCache};

use crate::border::{exclusive, guarded};
use crate::error::Error;

/// Settings of a store. Used by one thread at a time.
#[derive(Clone, Debug)]
pub struct Config {
    capacity: Capacity,
    bytes: Option<(usize, usize)>,
    garbage_limit: Option<usize>,
    timeout: Option<Duration>,
    max_age: Option<Duration>,
    policy: sessile::Policy,
    protects_reused: bool,
    is_reusable: bool,
    mode: Option<SslSessionCacheMode>,
}

/// The order in which sessions are evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum Policy {
    /// The least recently used goes first; the default.
    Lru = 0,
    /// The one stored first goes first, as in BoringSSL and OpenSSL 1.1.1.
    Fifo = 1,
    /// The one that expires soonest goes first, as in OpenSSL 3.
    SoonestExpiry = 2,
}

impl Config {
    /// OpenSSL's default for the size of a context's cache.
    const CAPACITY: usize = 20_480;

    fn new() -> Self {
        Self {
            capacity: Capacity::Sessions(Self::CAPACITY),
            bytes: None,
            garbage_limit: None,
            timeout: None,
            max_age: None,
            policy: sessile::Policy::default(),
            protects_reused: false,
            is_reusable: false,
            mode: None,
        }
    }

    pub(crate) fn build(&self) -> Result<ServerStore, Error> {
        let mut builder = SessionCache::<SslSession>::builder()
            .capacity(self.capacity)
            .policy(self.policy)
            .protect_reused(self.protects_reused);
        if let Some((total, largest)) = self.bytes {
            builder = builder.weigher(encoded_bytes).max_weight(total).max_entry_weight(largest);
        }
        if let Some(limit) = self.garbage_limit {
            builder = builder.garbage_limit(limit);
        }
        if let Some(timeout) = self.timeout {
            builder = builder.timeout(timeout);
        }
        let mut store = ServerStore::build(builder)?.reusable(self.is_reusable);
        if let Some(max_age) = self.max_age {
            store = store.max_age(max_age);
        }
        if let Some(mode) = self.mode {
            store.set_session_cache_mode(mode);
        }
        Ok(store)
    }
}

/// The capacity that OpenSSL's number stands for.
pub(crate) fn capacity_of(sessions: usize) -> Capacity {
    if sessions == 0 { Capacity::Unbounded } else { Capacity::Sessions(sessions) }
}

/// The length of a session's encoding, which is not made: it would hold its keys.
fn encoded_bytes(session: &Session<SslSession>) -> usize {
    // SAFETY: the session is alive; without a place to write to, the length is computed.
    let length = unsafe { sys::i2d_SSL_SESSION(session.as_ptr(), ptr::null_mut()) };
    usize::try_from(length).unwrap_or(0)
}

/// # Safety
///
/// Null, or a configuration that nobody else uses meanwhile.
unsafe fn set(config: *mut Config, change: impl FnOnce(&mut Config) -> Result<(), Error>) -> Error {
    // SAFETY: as the caller says.
    guarded(|| change(unsafe { exclusive(config) }?))
}

/// Makes a configuration with OpenSSL's defaults: 20480 sessions, and a timeout of 7200 seconds.
/// To be freed with `sessile_config_free`. Null without memory.
#[unsafe(no_mangle)]
pub extern "C" fn sessile_config_new() -> *mut Config {
    let mut config = ptr::null_mut();
    guarded(|| {
        config = Box::into_raw(Box::new(Config::new()));
        Ok(())
    });
    config
}

/// Frees a configuration; null is ignored. Stores made with it stay.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_config_free(config: *mut Config) {
    guarded(|| {
        if !config.is_null() {
            // SAFETY: it is from `sessile_config_new`, and the caller gives it up.
            drop(unsafe { Box::from_raw(config) });
        }
        Ok(())
    });
}

/// The largest number of sessions; 0 is any number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_config_set_capacity(
    config: *mut Config,
    sessions: usize,
) -> Error {
    // SAFETY: the caller gives a configuration or null.
    unsafe {
        set(config, |config| {
            config.capacity = capacity_of(sessions);
            Ok(())
        })
    }
}

/// The largest size of all sessions together and of one of them, in bytes as `i2d_SSL_SESSION`
/// encodes them. No limit unless set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_config_set_bytes(
    config: *mut Config,
    all: usize,
    largest: usize,
) -> Error {
    // SAFETY: the caller gives a configuration or null.
    unsafe {
        set(config, |config| {
            if largest == 0 || largest > all {
                return Err(Error::Weight);
            }
            config.bytes = Some((all, largest));
            Ok(())
        })
    }
}

/// The most bytes of removed sessions that an interrupted thread can keep from being freed. Near
/// it, sessions are refused. 64 MiB unless set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_config_set_garbage_limit(
    config: *mut Config,
    bytes: usize,
) -> Error {
    // SAFETY: the caller gives a configuration or null.
    unsafe {
        set(config, |config| {
            config.garbage_limit = Some(bytes);
            Ok(())
        })
    }
}

/// The timeout of sessions, in seconds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_config_set_timeout(config: *mut Config, seconds: u64) -> Error {
    // SAFETY: the caller gives a configuration or null.
    unsafe {
        set(config, |config| {
            config.timeout = Some(Duration::from_secs(seconds));
            Ok(())
        })
    }
}

/// The longest time after a full handshake in which anything is resumed from it, in seconds: a day
/// unless set. Resumptions do not extend it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_config_set_deadline(config: *mut Config, seconds: u64) -> Error {
    // SAFETY: the caller gives a configuration or null.
    unsafe {
        set(config, |config| {
            config.max_age = Some(Duration::from_secs(seconds));
            Ok(())
        })
    }
}

/// The order of eviction, one of `sessile_policy`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_config_set_policy(config: *mut Config, policy: c_uint) -> Error {
    // SAFETY: the caller gives a configuration or null.
    unsafe {
        set(config, |config| {
            config.policy = match policy {
                _ if policy == Policy::Lru as c_uint => sessile::Policy::Lru,
                _ if policy == Policy::Fifo as c_uint => sessile::Policy::Fifo,
                _ if policy == Policy::SoonestExpiry as c_uint => sessile::Policy::SoonestExpiry,
                _ => return Err(Error::Argument),
            };
            Ok(())
        })
    }
}

/// Whether sessions that were used are kept before those that never were, unless 0. 0 unless set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_config_set_protect_reused(
    config: *mut Config,
    protect: c_int,
) -> Error {
    // SAFETY: the caller gives a configuration or null.
    unsafe {
        set(config, |config| {
            config.protects_reused = protect != 0;
            Ok(())
        })
    }
}

/// Whether a TLS 1.3 session may be resumed more than once, unless 0; then there is no early data.
/// 0 unless set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_config_set_reusable(
    config: *mut Config,
    reusable: c_int,
) -> Error {
    // SAFETY: the caller gives a configuration or null.
    unsafe {
        set(config, |config| {
            config.is_reusable = reusable != 0;
            Ok(())
        })
    }
}

/// The mode, in the flags of `SSL_CTX_set_session_cache_mode(3)`; `SSL_SESS_CACHE_SERVER` unless
/// set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_config_set_mode(config: *mut Config, flags: u64) -> Error {
    // SAFETY: the caller gives a configuration or null.
    unsafe {
        set(config, |config| {
            config.mode = Some(flags_of(flags)?);
            Ok(())
        })
    }
}

/// The flags of a number from C.
pub(crate) fn flags_of(number: u64) -> Result<SslSessionCacheMode, Error> {
    let known = SslSessionCacheMode::all() | sessile_openssl::UPDATE_TIME;
    let flags = i64::try_from(number).map_err(|_| Error::Argument)?;
    let flags = SslSessionCacheMode::from_bits_retain(flags);
    if known.contains(flags) { Ok(flags) } else { Err(Error::Argument) }
}
