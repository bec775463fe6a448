//! Sessions made of nothing but a key and dates, which tell when they are freed.

use std::collections::BTreeSet;
use std::ffi::{c_int, c_long, c_uint, c_void};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use foreign_types::{ForeignType, ForeignTypeRef};
use openssl::ssl::{SslContextBuilder, SslSession, SslSessionRef, SslVersion};
use openssl_sys as sys;
use sessile::Context;
use sessile_openssl::ServerStore;

use crate::support::{Client, Site};

type ExFree = unsafe extern "C" fn(
    *mut c_void,
    *mut c_void,
    *mut sys::CRYPTO_EX_DATA,
    c_int,
    c_long,
    *mut c_void,
);

unsafe extern "C" {
    fn SSL_SESSION_new() -> *mut sys::SSL_SESSION;
    fn SSL_SESSION_set1_id(session: *mut sys::SSL_SESSION, id: *const u8, length: c_uint) -> c_int;
    fn SSL_SESSION_set1_id_context(
        session: *mut sys::SSL_SESSION,
        context: *const u8,
        length: c_uint,
    ) -> c_int;
    fn SSL_SESSION_get0_id_context(
        session: *const sys::SSL_SESSION,
        length: *mut c_uint,
    ) -> *const u8;
    fn SSL_SESSION_set_protocol_version(session: *mut sys::SSL_SESSION, version: c_int) -> c_int;
    fn SSL_SESSION_set_time(session: *mut sys::SSL_SESSION, time: c_long) -> c_long;
    fn SSL_SESSION_set_timeout(session: *mut sys::SSL_SESSION, timeout: c_long) -> c_long;
    fn SSL_SESSION_is_resumable(session: *const sys::SSL_SESSION) -> c_int;
    fn SSL_SESSION_set_ex_data(
        session: *mut sys::SSL_SESSION,
        index: c_int,
        data: *mut c_void,
    ) -> c_int;
    fn SSL_SESSION_get_ex_data(session: *const sys::SSL_SESSION, index: c_int) -> *mut c_void;
    fn CRYPTO_get_ex_new_index(
        class: c_int,
        long: c_long,
        pointer: *mut c_void,
        new: *const c_void,
        dup: *const c_void,
        free: Option<ExFree>,
    ) -> c_int;
}

/// `CRYPTO_EX_INDEX_SSL_SESSION`.
const CLASS_SSL_SESSION: c_int = 2;

/// The id context of a context that a store is attached to, named by a letter: what its connections
/// stamp on their sessions.
fn id_context_of(name: u8) -> [u8; 32] {
    let store = ServerStore::new(10).unwrap();
    let attach = |context: &mut SslContextBuilder| {
        store.attach(context, Context::from_bytes([name; 32])).unwrap()
    };
    let server = Site::new().server(SslVersion::TLS1_2, attach);
    assert!(!Client::new().visit(&server, None));
    let stored = store.sessions().pop().unwrap();
    let mut length = 0;
    // SAFETY: the session is alive; the answer points to as many bytes within it.
    let bytes = unsafe {
        let bytes = SSL_SESSION_get0_id_context(stored.as_ptr(), &mut length);
        std::slice::from_raw_parts(bytes, length as usize)
    };
    bytes.try_into().unwrap()
}

/// That of every object, unless it is given the other one.
fn id_context() -> &'static [u8; 32] {
    static ID_CONTEXT: OnceLock<[u8; 32]> = OnceLock::new();
    ID_CONTEXT.get_or_init(|| id_context_of(b'o'))
}

/// What identifies a session to a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) version: u16,
    pub(crate) id: u8,
}

impl Key {
    /// The bytes of the id: of many lengths, and alike in their first four, by which libssl hashes.
    pub(crate) fn id_bytes(self) -> Vec<u8> {
        let length = 5 + usize::from(self.id) * 3;
        (0..length.min(32)).map(|at| if at < 4 { 0xab } else { self.id }).collect()
    }
}

/// The objects of one subject that are not freed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Living(Arc<Mutex<BTreeSet<u64>>>);

impl Living {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn serials(&self) -> BTreeSet<u64> {
        self.lock().clone()
    }
}

/// What each session carries.
struct Badge {
    serial: u64,
    living: Living,
}

/// Makes a session. `serial` names the object, `living` is told when it is freed.
pub(crate) fn make(key: Key, serial: u64, age: i64, timeout: i64, living: &Living) -> SslSession {
    let id = key.id_bytes();
    // SAFETY: the session is new and nobody else's; the buffers are as long as is said; the badge
    // is given to the session, whose end frees it.
    unsafe {
        let session = SslSession::from_ptr(SSL_SESSION_new());
        let raw = session.as_ptr();
        assert_eq!(SSL_SESSION_set1_id(raw, id.as_ptr(), id.len() as c_uint), 1);
        assert_eq!(SSL_SESSION_set1_id_context(raw, id_context().as_ptr(), 32), 1);
        assert_eq!(SSL_SESSION_set_protocol_version(raw, c_int::from(key.version)), 1);
        assert!(SSL_SESSION_set_time(raw, unix_now() - age) != 0);
        SSL_SESSION_set_timeout(raw, timeout);
        let badge = Box::new(Badge { serial, living: living.clone() });
        living.lock().insert(serial);
        assert_eq!(SSL_SESSION_set_ex_data(raw, badge_index(), Box::into_raw(badge).cast()), 1);
        session
    }
}

/// The name of an object that `make` made.
pub(crate) fn serial_of(session: &SslSessionRef) -> u64 {
    // SAFETY: the session is alive, and so is its badge.
    unsafe {
        let badge = SSL_SESSION_get_ex_data(session.as_ptr(), badge_index()).cast::<Badge>();
        badge.as_ref().expect("made by `make`").serial
    }
}

pub(crate) fn set_timeout(session: &SslSessionRef, seconds: i64) {
    // SAFETY: the session is alive.
    assert_eq!(unsafe { SSL_SESSION_set_timeout(session.as_ptr(), seconds) }, 1);
}

/// Gives a session the id context of another domain, before anyone else knows it.
pub(crate) fn set_id_context(session: &SslSessionRef, name: u8) {
    let context = id_context_of(name);
    // SAFETY: the session is alive; 32 bytes are read.
    assert_eq!(unsafe { SSL_SESSION_set1_id_context(session.as_ptr(), context.as_ptr(), 32) }, 1);
}

/// Takes a session's id away.
pub(crate) fn clear_id(session: &SslSessionRef) {
    // SAFETY: the session is alive; no byte is read.
    assert_eq!(unsafe { SSL_SESSION_set1_id(session.as_ptr(), [0].as_ptr(), 0) }, 1);
}

pub(crate) fn is_resumable(session: &SslSessionRef) -> bool {
    // SAFETY: the session is alive.
    unsafe { SSL_SESSION_is_resumable(session.as_ptr()) == 1 }
}

pub(crate) fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

fn badge_index() -> c_int {
    static INDEX: OnceLock<c_int> = OnceLock::new();
    *INDEX.get_or_init(|| {
        openssl::init();
        let null = std::ptr::null_mut;
        // SAFETY: registers a function that lives for ever.
        let index = unsafe {
            CRYPTO_get_ex_new_index(CLASS_SSL_SESSION, 0, null(), null(), null(), Some(on_free))
        };
        assert!(index >= 0);
        index
    })
}

unsafe extern "C" fn on_free(
    _session: *mut c_void,
    badge: *mut c_void,
    _data: *mut sys::CRYPTO_EX_DATA,
    _index: c_int,
    _long: c_long,
    _pointer: *mut c_void,
) {
    if badge.is_null() {
        return;
    }
    // SAFETY: `make` gave it to the session, which is freed now.
    let badge = unsafe { Box::from_raw(badge.cast::<Badge>()) };
    badge.living.lock().remove(&badge.serial);
}
