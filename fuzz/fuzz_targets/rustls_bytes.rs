//! `StoresServerSessions` of the rustls adapter beside a map, given whatever keys a peer may send.
//!
//! The map may hold more than the store by what was evicted; the counters tell how much that is. A
//! session that was missed once is out of the map: it must not come back.
#![forbid(unsafe_code)]
#![no_main]

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::{Corpus, fuzz_target};
use rustls::server::StoresServerSessions;
use sessile::Context;
use sessile_rustls::{ServerContextStore, ServerStore};
use std::collections::HashMap;
use std::sync::Arc;

/// More operations than this in one input find nothing that fewer do not.
const OPERATIONS_MAX: usize = 60;

/// A store seen from three contexts, and what should be in it.
struct Pair {
    store: ServerStore,
    contexts: [Arc<ServerContextStore>; 3],
    reusable: bool,
    stored: HashMap<(usize, Vec<u8>), Vec<u8>>,
    /// Evicted sessions that were missed, or overwritten since.
    found_lost: u64,
}

fuzz_target!(|data: &[u8]| -> Corpus {
    match run(&mut Unstructured::new(data)) {
        Ok(()) => Corpus::Keep,
        Err(_) => Corpus::Reject,
    }
});

/// Runs one input on a store whose TLS 1.3 sessions are used once, or again and again.
fn run(input: &mut Unstructured<'_>) -> Result<()> {
    let [capacity, choice] = input.arbitrary::<[u8; 2]>()?;
    let mut pair = Pair::new(1 + usize::from(capacity % 32), choice & 1 != 0);
    for _ in 0..OPERATIONS_MAX {
        let Ok(kind) = input.arbitrary::<u8>() else { break };
        pair.apply(kind, input)?;
        pair.check();
    }
    Ok(())
}

/// One of the lengths around the limits, of bytes that repeat often.
fn key(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let [length, byte] = input.arbitrary::<[u8; 2]>()?;
    let length = match length % 8 {
        0 => 0,
        1 => 1,
        2 => 31,
        3 | 4 => 32,
        5 => 33,
        6 => usize::from(length),
        _ => return Ok(input.bytes(usize::from(byte % 40).min(input.len()))?.to_vec()),
    };
    Ok(vec![byte % 8; length])
}

fn value(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let [length, byte] = input.arbitrary::<[u8; 2]>()?;
    Ok(vec![byte; if length == u8::MAX { 10_000 } else { usize::from(length) }])
}

impl Pair {
    fn new(capacity: usize, reusable: bool) -> Self {
        let store = ServerStore::new(capacity).expect("a valid capacity").reusable(reusable);
        let contexts = [0, 1, 2].map(|number| match number {
            0 => Context::NONE,
            number => Context::from_bytes([number; 32]),
        });
        let contexts = contexts.map(|context| store.for_context(context));
        Self { store, contexts, reusable, stored: HashMap::new(), found_lost: 0 }
    }

    fn apply(&mut self, kind: u8, input: &mut Unstructured<'_>) -> Result<()> {
        let number = usize::from(kind >> 6) % self.contexts.len();
        let context = Arc::clone(&self.contexts[number]);
        let key = key(input)?;
        match kind % 8 {
            0..=2 => {
                let value = value(input)?;
                let is_key = (1..=32).contains(&key.len());
                let replaced = self.store.stats().replaced;
                assert_eq!(
                    context.put(key.clone(), value.clone()),
                    is_key,
                    "a key of {} bytes",
                    key.len()
                );
                if is_key {
                    self.put((number, key), value, self.store.stats().replaced > replaced);
                }
            }
            3 | 4 => {
                let got = context.get(&key);
                self.look((number, key), got.as_ref());
            }
            // Only a session of TLS 1.3 may be copied, which these values are not.
            5 | 6 if self.reusable => assert_eq!(context.take(&key), None),
            5 | 6 => {
                let taken = context.take(&key);
                self.look((number, key.clone()), taken.as_ref());
                if taken.is_some() {
                    self.stored.remove(&(number, key.clone()));
                    assert_eq!(context.take(&key), None, "taken once");
                }
            }
            _ if key.len() == 7 => {
                let cleared = self.store.cache().clear();
                let lost = self.stored.drain().count() - cleared;
                self.found_lost += lost as u64;
            }
            _ => assert!(context.can_cache()),
        }
        Ok(())
    }

    /// A key that the map held and that the store did not have any more was evicted, and is stored
    /// again.
    fn put(&mut self, place: (usize, Vec<u8>), value: Vec<u8>, was_replaced: bool) {
        let was_held = self.stored.insert(place, value).is_some();
        assert!(was_held || !was_replaced, "replaced what was not there");
        self.found_lost += u64::from(was_held && !was_replaced);
    }

    fn look(&mut self, place: (usize, Vec<u8>), found: Option<&Vec<u8>>) {
        match (self.stored.get(&place), found) {
            (expected, Some(found)) => {
                assert_eq!(expected, Some(found), "what was put under the key")
            }
            (Some(_), None) => {
                self.stored.remove(&place);
                self.found_lost += 1;
            }
            (None, None) => {}
        }
    }

    fn check(&self) {
        let (stats, len) = (self.store.stats(), self.store.cache().len());
        assert!(len <= self.store.cache().capacity());
        assert!(self.stored.len() >= len, "more is stored than was put");
        let lost = self.found_lost + (self.stored.len() - len) as u64;
        assert_eq!(lost, stats.evicted, "what is lost was evicted");
    }
}
