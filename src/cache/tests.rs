//! What a table that follows its sessions, a wait for garbage and a sweep must not do.
#![forbid(unsafe_code)]

// ORDERING: Relaxed throughout: counters of one thread, or of threads that are joined.

use super::operation::Operation;
use super::*;
use crate::builder::Capacity;
use crate::cache::budget::Permit;
use crate::error::{Rejection, RemovalCause};
use crate::sync::untracked::{AtomicU64, Ordering};
use std::cell::Cell;
use std::sync::{Arc, Weak, mpsc};
use std::time::Instant;

fn id(n: u64) -> SessionId {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&n.to_le_bytes());
    SessionId::from(bytes)
}

/// Runs `f` while another thread reads the session `n`.
fn beside_a_reader<T: Send + Sync + 'static>(cache: &SessionCache<T>, n: u64, f: impl FnOnce()) {
    let (inside, is_inside) = mpsc::channel();
    let (go, goes) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let read = move |_: &Session<T>| {
            inside.send(()).unwrap();
            goes.recv().unwrap();
        };
        scope.spawn(move || cache.read(&id(n), read).unwrap());
        is_inside.recv().unwrap();
        f();
        go.send(()).unwrap();
    });
}

/// Fifteen sessions of one id, of which a set holds fourteen, meet in a migration.
#[test]
fn a_crowd_of_one_id_does_not_double_an_unbounded_table_for_ever() {
    let cache: SessionCache<u64> = SessionCache::new(Capacity::Unbounded).unwrap();
    let crowd = |n: u64| {
        Session::<u64>::builder(id(u64::MAX)).context(Context::digest([n.to_le_bytes()])).build(n)
    };
    let is_moving = || Operation::begin(&cache).oldest_table().chain().count() > 1;
    (0..14).for_each(|n| assert!(cache.add(crowd(n)).is_ok()));
    let mut stored = 0;
    while !is_moving() {
        assert!(cache.add(Session::new(id(stored), stored)).is_ok());
        stored += 1;
    }
    assert!(cache.add(crowd(14)).is_ok());
    for n in 0..20_000 {
        // One comes, one goes: the number of sessions stays.
        assert!(cache.add(Session::new(id(1_000_000 + n), n)).is_ok());
        assert!(cache.take(&id(1_000_000 + n)).is_some());
    }
    let slots = Operation::begin(&cache).oldest_table().newest().slots() as u64;
    assert!(slots < 8 * stored, "{slots} slots for {stored} sessions");
}

/// A small size was wanted while a reader held the emptied tables, and sessions have come since.
#[test]
fn a_size_that_was_wanted_by_clear_evicts_nobody_later() {
    let builder = SessionCache::builder().capacity(1_000_000).max_weight(16 << 20);
    let builder = builder.garbage_limit(1 << 40).weigher(|one: &Session<u64>| **one as usize);
    let cache = builder.build().unwrap();
    let add = |n| assert!(cache.add(Session::new(id(n), 1 << 10)).is_ok_and(|one| one.changed()));
    add(u64::MAX);
    beside_a_reader(&cache, u64::MAX, || {
        (0..4096).for_each(add);
        cache.clear();
        (20_000..22_500).for_each(add);
    });
    cache.collect();
    let (stored, evicted) = (cache.len(), cache.stats().evicted);
    cache.set_capacity(1_000_000).unwrap();
    assert_eq!((cache.len(), cache.stats().evicted), (stored, evicted), "2.5 of 16 MiB are used");
}

fn with_small_limit() -> SessionCache<u64> {
    let cache = SessionCache::builder().capacity(2000).garbage_limit(64 << 10).build().unwrap();
    (0..1000).for_each(|n| assert!(cache.add(Session::new(id(n), n)).is_ok()));
    cache
}

fn refused_after(cache: &SessionCache<u64>) -> Duration {
    let begin = Instant::now();
    let refused = cache.add(Session::new(id(5000), 1)).unwrap_err();
    assert_eq!(refused.reason(), Rejection::Garbage);
    begin.elapsed()
}

/// What a caller's closure holds back is not waited for, whatever the operation.
#[test]
fn an_add_does_not_wait_for_a_closure() {
    let inside = || {
        let (cache, waited) = (with_small_limit(), Cell::new(Duration::MAX));
        let accept = |_: &Session<u64>| {
            cache.clear();
            waited.set(refused_after(&cache));
            true
        };
        assert!(cache.view(Context::NONE).get_if(&id(1), accept).is_some());
        waited.get()
    };
    let beside = || {
        let (cache, waited) = (with_small_limit(), Cell::new(Duration::MAX));
        beside_a_reader(&cache, 1, || {
            cache.clear();
            waited.set(refused_after(&cache));
        });
        waited.get()
    };
    // A busy machine prolongs some of them.
    let least = |refused: &dyn Fn() -> Duration| (0..5).map(|_| refused()).min().unwrap();
    assert!(least(&inside).max(least(&beside)) < Duration::from_millis(50));
}

/// Its drop adds, and counts the adds that waited.
struct Adding {
    cache: Weak<SessionCache<Adding>>,
    number: u64,
    waited: Arc<AtomicU64>,
}

impl Drop for Adding {
    fn drop(&mut self) {
        let Some(cache) = self.cache.upgrade() else { return };
        let (begin, waited) = (Instant::now(), Arc::clone(&self.waited));
        let adding = Adding { cache: Weak::new(), number: 0, waited };
        drop(cache.add(Session::new(id(1 << 32 | self.number), adding)));
        if (90..190).contains(&begin.elapsed().as_millis()) {
            self.waited.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// How many adds waited, or were interrupted for as long, four deep in drops.
fn waited_in_drops() -> u64 {
    let waited = Arc::new(AtomicU64::new(0));
    let builder = SessionCache::builder().capacity(2000).garbage_limit(64 << 10);
    let cache = Arc::new(builder.build().unwrap());
    let count = (64 << 10) / size_of::<Block<Adding>>() as u64 + 30;
    for number in 0..count {
        let (cache_of, waited) = (Arc::downgrade(&cache), Arc::clone(&waited));
        let adding = Adding { cache: cache_of, number, waited };
        assert!(cache.add(Session::new(id(number), adding)).is_ok());
    }
    beside_a_reader(&cache, 1, || _ = cache.clear());
    let last = Adding { cache: Weak::new(), number: 0, waited: Arc::clone(&waited) };
    drop(cache.add(Session::new(id(1 << 40), last)));
    waited.load(Ordering::Relaxed)
}

/// Four deep in drops a thread frees nothing more: there it must not wait for what it holds itself.
#[test]
fn an_add_in_a_payloads_drop_does_not_wait() {
    // A busy machine interrupts some now and then. Where they wait, hundreds do.
    let is_quiet = |waited: u64| {
        assert!(waited < 10, "{waited} adds waited");
        waited == 0
    };
    assert!((0..5).any(|_| is_quiet(waited_in_drops())));
}

/// An operation that is dropped without its proper end, as by a panic.
#[test]
fn hooks_hear_whatever_way_an_operation_ends() {
    let heard = Arc::new(AtomicU64::new(0));
    let hears = Arc::clone(&heard);
    let hook = move |_: &Session<u64>, _| _ = hears.fetch_add(1, Ordering::Relaxed);
    let cache = SessionCache::builder().on_removed(hook).build().unwrap();
    let session = Session::new(id(1), 1);
    assert!(cache.add(session.clone()).is_ok());
    let operation = Operation::begin(&cache);
    let probe = cache.probe_of(session.block());
    let member = operation.find_same(&session, &probe).unwrap();
    let unlinked = member.remove().unwrap();
    operation.retire(unlinked, RemovalCause::Removed, Permit::GivenBack);
    assert_eq!(heard.load(Ordering::Relaxed), 0);
    drop(operation);
    assert_eq!(heard.load(Ordering::Relaxed), 1);
    cache.collect();
    assert_eq!((cache.len(), Session::handle_count(&session)), (0, 1));
}

#[test]
fn what_is_arriving_is_found_by_removals_alone() {
    let cache = SessionCache::builder().build().unwrap();
    let (one, view) = (Session::new(id(1), 1), cache.view(Context::NONE));
    assert!(cache.add(one.clone()).is_ok() && one.block().begin_arrival());
    assert!(cache.get(&id(1)).is_none() && cache.take(&id(1)).is_none());
    assert!(cache.read(&id(1), |_| ()).is_none() && cache.peek(&id(1)).is_none());
    assert!(view.get_if(&id(1), |_| true).is_none() && view.take_if(&id(1), |_| true).is_none());
    assert!(!cache.contains(&id(1)) && cache.snapshot().is_empty() && view.is_empty());
    assert_eq!((cache.len(), cache.flush_expired()), (1, 0), "it is stored");
    one.block().end_arrival();
    assert!(cache.get(&id(1)).is_some() && one.block().begin_arrival());
    assert_eq!((cache.remove_if(|_| true), cache.len()), (1, 0));
}

#[test]
fn as_many_arrivals_of_a_session_as_can_be_counted() {
    let cache = SessionCache::builder().watch_removals(true).build().unwrap();
    let session = Session::new(id(1), 1);
    let begun = (0..100).take_while(|_| session.block().begin_arrival()).count();
    let watch = cache.view(Context::NONE).watch(&id(1));
    let refused = cache.add_unless_removed(session.clone(), watch).unwrap_err();
    assert_eq!((begun, refused.reason()), (31, Rejection::Contention));
    (0..begun).for_each(|_| session.block().end_arrival());
    assert!(cache.add_unless_removed(session, watch).is_ok() && cache.get(&id(1)).is_some());
}
