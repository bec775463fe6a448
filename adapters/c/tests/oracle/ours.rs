//! Sessile behind its C interface.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Mutex;

use foreign_types::ForeignTypeRef;
use openssl_sys::SSL_SESSION;
use sessile_openssl::openssl::ssl::{SslSession, SslSessionRef};
use sessile_openssl::sessile::Policy;

use crate::header::{self, Hooks, Store, counter};
use crate::libssl::key_of;
use crate::object::{self, Key, Living};
use crate::subject::Subject;

type Told = Mutex<Vec<Key>>;

pub(crate) struct Ours {
    store: *mut Store,
    objects: HashMap<u64, SslSession>,
    /// Lent to the hook until the store is freed.
    told: Box<Told>,
    living: Living,
}

/// A replacement, of which libssl says nothing, is a difference of its own.
unsafe extern "C" fn on_removed(told: *mut c_void, session: *mut SSL_SESSION, cause: c_int) {
    // SAFETY: the subject lends the log; the session is alive for the call.
    let (told, session) = unsafe { (&*told.cast::<Told>(), SslSessionRef::from_ptr(session)) };
    if cause != header::REPLACED {
        told.lock().unwrap().push(key_of(session));
    }
}

unsafe extern "C" fn note(session: *mut SSL_SESSION, stored: *mut c_void) -> c_int {
    // SAFETY: `stored` lends the map; the session is alive for the call.
    let (stored, session) =
        unsafe { (&mut *stored.cast::<BTreeMap<Key, u64>>(), SslSessionRef::from_ptr(session)) };
    stored.insert(key_of(session), object::serial_of(session));
    1
}

fn succeed(error: c_int) {
    assert_eq!(error, 0);
}

impl Ours {
    pub(crate) fn new(policy: Policy) -> Self {
        assert_eq!(policy, Policy::SoonestExpiry, "libssl's");
        let told = Box::<Told>::default();
        let hooks = Hooks {
            size: size_of::<Hooks>(),
            user: ptr::from_ref::<Told>(&told).cast_mut().cast(),
            on_added: 0,
            on_removed,
            on_miss: 0,
            on_absent: 0,
            release: 0,
        };
        let mut store = ptr::null_mut();
        // SAFETY: what is given is alive; the log lives until the store is freed.
        unsafe {
            let config = header::sessile_config_new();
            succeed(header::sessile_config_set_capacity(config, 1));
            succeed(header::sessile_config_set_policy(config, header::POLICY_SOONEST_EXPIRY));
            succeed(header::sessile_new(config, &mut store));
            header::sessile_config_free(config);
            succeed(header::sessile_set_hooks(store, &hooks));
        }
        Self { store, objects: HashMap::new(), told, living: Living::default() }
    }

    fn object(&self, serial: u64) -> *mut SSL_SESSION {
        self.objects[&serial].as_ptr()
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        // SAFETY: it is freed once.
        unsafe { header::sessile_free(self.store) };
    }
}

// SAFETY of the calls below: the store lives for as long as the subject, the objects as long as
// they are listed, and the places for answers for the call.
impl Subject for Ours {
    fn make(&mut self, serial: u64, key: Key, age: i64, timeout: i64) {
        self.objects.insert(serial, object::make(key, serial, age, timeout, &self.living));
    }

    fn release(&mut self, serial: u64) {
        self.objects.remove(&serial);
    }

    fn add(&mut self, serial: u64) -> u64 {
        let mut changed = 7;
        // SAFETY: see above.
        succeed(unsafe { header::sessile_add(self.store, self.object(serial), &mut changed) });
        u64::try_from(changed).unwrap()
    }

    /// By identity where this very object is stored, by id where another one is: libssl knows the
    /// latter only.
    fn remove(&mut self, serial: u64) -> u64 {
        let (object, mut removed) = (self.object(serial), 7);
        // SAFETY: see above.
        unsafe {
            succeed(header::sessile_remove_exactly(self.store, object, &mut removed));
            if removed == 0 {
                succeed(header::sessile_remove(self.store, object, &mut removed));
            }
        }
        u64::try_from(removed).unwrap()
    }

    fn set_timeout(&mut self, serial: u64, seconds: i64) {
        let seconds = u64::try_from(seconds).unwrap();
        // SAFETY: see above.
        succeed(unsafe {
            header::sessile_set_session_timeout(self.store, self.object(serial), seconds)
        });
    }

    fn flush(&mut self, time: i64) -> u64 {
        let mut removed = 0;
        // SAFETY: see above.
        succeed(unsafe { header::sessile_flush(self.store, time, &mut removed) });
        removed as u64
    }

    fn set_capacity(&mut self, sessions: usize) -> usize {
        let mut former = 0;
        // SAFETY: see above.
        succeed(unsafe { header::sessile_resize(self.store, sessions, &mut former) });
        former
    }

    fn set_update_time(&mut self, update: bool) {
        const SERVER: u64 = 2;
        const UPDATE_TIME: u64 = 0x400;
        let flags = if update { SERVER | UPDATE_TIME } else { SERVER };
        // SAFETY: see above.
        succeed(unsafe { header::sessile_set_mode(self.store, flags, ptr::null_mut()) });
    }

    fn stored(&mut self) -> BTreeMap<Key, u64> {
        let mut stored = BTreeMap::new();
        let user = (&raw mut stored).cast();
        // SAFETY: see above; the map lives for the call.
        succeed(unsafe { header::sessile_for_each(self.store, note, user) });
        stored
    }

    fn told(&mut self) -> Vec<Key> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }

    fn counters(&mut self) -> [u64; 2] {
        let mut seen = [0; counter::ALL];
        // SAFETY: see above; there is room for as many bytes.
        succeed(unsafe {
            header::sessile_stats(self.store, seen.as_mut_ptr(), size_of_val(&seen))
        });
        let left: u64 = seen[counter::LEFT].iter().sum();
        assert_eq!(seen[counter::ADDED] - left, seen[counter::NUMBER]);
        [seen[counter::NUMBER], seen[counter::CACHE_FULL]]
    }

    fn living(&mut self) -> BTreeSet<u64> {
        // SAFETY: see above.
        succeed(unsafe { header::sessile_collect(self.store) });
        self.living.serials()
    }
}
