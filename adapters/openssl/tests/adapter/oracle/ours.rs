//! Sessile behind the adapter.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use openssl::ssl::{SslSession, SslSessionCacheMode};
use sessile::{Policy, RemovalCause, SessionCache};
use sessile_openssl::{ServerStore, UPDATE_TIME};

use super::libssl::key_of;
use super::object::{self, Key, Living};
use super::subject::Subject;

pub(crate) struct Ours {
    pub(crate) store: ServerStore,
    objects: HashMap<u64, SslSession>,
    told: Arc<Mutex<Vec<Key>>>,
    living: Living,
}

impl Ours {
    pub(crate) fn new(policy: Policy) -> Self {
        let told = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&told);
        // A replacement, of which libssl says nothing, is a difference of its own.
        let builder = SessionCache::<SslSession>::builder().policy(policy).on_removed(
            move |session, cause| {
                if cause != RemovalCause::Replaced {
                    log.lock().unwrap().push(key_of(session));
                }
            },
        );
        let store = ServerStore::build(builder.capacity(1)).unwrap();
        Self { store, objects: HashMap::new(), told, living: Living::default() }
    }

    /// What the remove callback is told, to be read when the subject is gone.
    pub(crate) fn log(&self) -> Arc<Mutex<Vec<Key>>> {
        Arc::clone(&self.told)
    }

    pub(crate) fn object(&self, serial: u64) -> &SslSession {
        &self.objects[&serial]
    }
}

impl Subject for Ours {
    fn make(&mut self, serial: u64, key: Key, age: i64, timeout: i64) {
        self.objects.insert(serial, object::make(key, serial, age, timeout, &self.living));
    }

    fn release(&mut self, serial: u64) {
        self.objects.remove(&serial);
    }

    fn add(&mut self, serial: u64) -> u64 {
        u64::from(self.store.add_session(self.object(serial)).is_ok_and(|added| added.changed()))
    }

    /// By identity where this very object is stored, by id where another one is: libssl knows the
    /// latter only.
    fn remove(&mut self, serial: u64) -> u64 {
        let object = self.object(serial);
        u64::from(self.store.remove_session(object) || self.store.remove_id_of(object))
    }

    fn set_timeout(&mut self, serial: u64, seconds: i64) {
        let object = self.object(serial);
        object::set_timeout(object, seconds);
        let stored = self.store.sessions();
        let own = stored.iter().find(|one| object::serial_of(one) == serial);
        if let Some(own) = own {
            own.set_timeout(std::time::Duration::from_secs(u64::try_from(seconds).unwrap()));
        }
    }

    fn flush(&mut self, time: i64) -> u64 {
        self.store.flush_sessions(u64::try_from(time).unwrap()) as u64
    }

    fn set_capacity(&mut self, sessions: usize) -> usize {
        self.store.set_cache_size(sessions).unwrap()
    }

    fn set_update_time(&mut self, update: bool) {
        let mut mode = SslSessionCacheMode::SERVER;
        mode.set(UPDATE_TIME, update);
        self.store.set_session_cache_mode(mode);
    }

    fn stored(&mut self) -> BTreeMap<Key, u64> {
        self.store.sessions().iter().map(|one| (key_of(one), object::serial_of(one))).collect()
    }

    fn told(&mut self) -> Vec<Key> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }

    fn counters(&mut self) -> [u64; 2] {
        let stats = self.store.stats();
        let left = stats.removed + stats.taken + stats.evicted + stats.expired + stats.flushed;
        assert_eq!(stats.added - left, stats.number, "what came and went is what is there");
        [stats.number, stats.cache_full]
    }

    fn living(&mut self) -> BTreeSet<u64> {
        self.store.cache().collect();
        self.living.serials()
    }
}
