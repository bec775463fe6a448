//! The oracle: an `SSL_CTX` with its own cache.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{c_int, c_long, c_void};
use std::sync::{Arc, Mutex};

use foreign_types::{ForeignType, ForeignTypeRef};
use openssl::ssl::{
    SslContext, SslContextBuilder, SslMethod, SslSession, SslSessionCacheMode, SslSessionRef,
};
use openssl_sys as sys;
use sessile_openssl::UPDATE_TIME;

use super::object::{self, Key, Living};
use super::sequence::keys;
use super::subject::Subject;

unsafe extern "C" {
    fn SSL_CTX_add_session(context: *mut sys::SSL_CTX, session: *mut sys::SSL_SESSION) -> c_int;
    fn SSL_CTX_remove_session(context: *mut sys::SSL_CTX, session: *mut sys::SSL_SESSION) -> c_int;
    fn SSL_CTX_flush_sessions(context: *mut sys::SSL_CTX, time: c_long);
    fn SSL_CTX_sessions(context: *mut sys::SSL_CTX) -> *mut c_void;
    fn OPENSSL_LH_retrieve(table: *mut c_void, like: *const c_void) -> *mut c_void;
}

const SESS_NUMBER: c_int = 20;
const SESS_CACHE_FULL: c_int = 31;
const SET_CACHE_SIZE: c_int = 42;
const SET_CACHE_MODE: c_int = 44;

/// The sizes with which libssl holds so many sessions: one more, but for one and for any number.
fn size_for(capacity: usize) -> usize {
    if capacity < 2 { capacity } else { capacity + 1 }
}

fn capacity_of(size: usize) -> usize {
    if size < 2 { size } else { size - 1 }
}

pub(crate) struct Libssl {
    context: SslContext,
    objects: HashMap<u64, SslSession>,
    /// One session for each key, to search with.
    likes: Vec<(Key, SslSession)>,
    told: Arc<Mutex<Vec<Key>>>,
    living: Living,
    cache_full_before: u64,
}

impl Libssl {
    pub(crate) fn new() -> Self {
        let mut builder = SslContextBuilder::new(SslMethod::tls_server()).unwrap();
        builder.set_session_cache_mode(SslSessionCacheMode::SERVER);
        let told = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&told);
        builder.set_remove_session_callback(move |_, session| {
            log.lock().unwrap().push(key_of(session))
        });
        let unwatched = Living::default();
        let likes = (0..)
            .zip(keys())
            .map(|(serial, key)| (key, object::make(key, serial, 0, 1, &unwatched)));
        let likes = likes.collect();
        Self {
            context: builder.build(),
            objects: HashMap::new(),
            likes,
            told,
            living: Living::default(),
            cache_full_before: 0,
        }
    }

    pub(crate) fn context(&self) -> *mut sys::SSL_CTX {
        self.context.as_ptr()
    }

    /// What the remove callback is told, to be read when the subject is gone.
    pub(crate) fn log(&self) -> Arc<Mutex<Vec<Key>>> {
        Arc::clone(&self.told)
    }

    pub(crate) fn object(&self, serial: u64) -> &SslSession {
        &self.objects[&serial]
    }

    pub(crate) fn control(&self, command: c_int, value: c_long) -> u64 {
        // SAFETY: the context is alive; these commands read or set a number.
        let answer =
            unsafe { sys::SSL_CTX_ctrl(self.context(), command, value, std::ptr::null_mut()) };
        u64::try_from(answer).unwrap()
    }

    /// `SSL_CTX_sess_set_cache_size`, as it is.
    pub(crate) fn set_size(&self, size: usize) -> usize {
        usize::try_from(self.control(SET_CACHE_SIZE, c_long::try_from(size).unwrap())).unwrap()
    }

    /// `SSL_CTX_remove_session`, as it is.
    pub(crate) fn remove_raw(&self, session: *mut sys::SSL_SESSION) -> u64 {
        // SAFETY: both are alive.
        let removed = unsafe { SSL_CTX_remove_session(self.context(), session) };
        u64::try_from(removed).unwrap()
    }

    /// `SSL_CTX_sess_number`.
    pub(crate) fn number(&self) -> u64 {
        self.control(SESS_NUMBER, 0)
    }
}

/// The key of a session that `object::make` made.
pub(crate) fn key_of(session: &SslSessionRef) -> Key {
    // SAFETY: the session is alive.
    let version = unsafe { sys::SSL_SESSION_get_protocol_version(session.as_ptr()) };
    Key { version: u16::try_from(version).unwrap(), id: session.id().last().copied().unwrap_or(0) }
}

impl Subject for Libssl {
    fn make(&mut self, serial: u64, key: Key, age: i64, timeout: i64) {
        self.objects.insert(serial, object::make(key, serial, age, timeout, &self.living));
    }

    fn release(&mut self, serial: u64) {
        self.objects.remove(&serial);
    }

    fn add(&mut self, serial: u64) -> u64 {
        // SAFETY: both are alive, and the session was never in another context's cache.
        let added = unsafe { SSL_CTX_add_session(self.context(), self.object(serial).as_ptr()) };
        u64::try_from(added).unwrap()
    }

    /// Silent where nothing was removed: that libssl tells the callback all the same is a
    /// difference of its own.
    fn remove(&mut self, serial: u64) -> u64 {
        let before = self.told.lock().unwrap().len();
        let removed = self.remove_raw(self.object(serial).as_ptr());
        if removed == 0 {
            self.told.lock().unwrap().truncate(before);
        }
        removed
    }

    fn set_timeout(&mut self, serial: u64, seconds: i64) {
        object::set_timeout(self.object(serial), seconds);
    }

    fn flush(&mut self, time: i64) -> u64 {
        let before = self.number();
        // SAFETY: the context is alive.
        unsafe { SSL_CTX_flush_sessions(self.context(), time) };
        before - self.number()
    }

    fn set_capacity(&mut self, sessions: usize) -> usize {
        capacity_of(self.set_size(size_for(sessions)))
    }

    fn set_update_time(&mut self, update: bool) {
        let mut mode = SslSessionCacheMode::SERVER;
        mode.set(UPDATE_TIME, update);
        self.control(SET_CACHE_MODE, mode.bits());
    }

    fn stored(&mut self) -> BTreeMap<Key, u64> {
        let find = |like: &SslSession| {
            // SAFETY: the table is the context's, of sessions, and not changed meanwhile; what is
            // found is alive.
            unsafe {
                let found =
                    OPENSSL_LH_retrieve(SSL_CTX_sessions(self.context()), like.as_ptr().cast());
                (!found.is_null()).then(|| object::serial_of(SslSessionRef::from_ptr(found.cast())))
            }
        };
        self.likes.iter().filter_map(|(key, like)| Some((*key, find(like)?))).collect()
    }

    fn told(&mut self) -> Vec<Key> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }

    fn counters(&mut self) -> [u64; 2] {
        [self.number(), self.control(SESS_CACHE_FULL, 0) - self.cache_full_before]
    }

    fn living(&mut self) -> BTreeSet<u64> {
        self.living.serials()
    }
}

impl Libssl {
    /// Empties the cache for another sequence; the counters begin anew.
    pub(crate) fn reset(&mut self) {
        self.objects.clear();
        self.flush(0);
        self.told();
        self.cache_full_before = self.control(SESS_CACHE_FULL, 0);
    }
}
