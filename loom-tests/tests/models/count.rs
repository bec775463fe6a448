//! The count of a session: raised only while it cannot be the last, lowered once for each time it
//! was raised.
//!
//! Guards: the relaxed raise under a guard, the release of the last decrement, `retire`.

use loom_tests::{REGISTRY, TestCache, id, model, replaced, thread};
use sessile::Session;
use testkit::Ledger;

/// What every holder did with the session happens before its destruction.
#[model]
fn count_last_drop() {
    let ledger = Ledger::new();
    let session = Session::new(id(1), ledger.payload(1));
    let other = session.clone();
    let thread = thread::spawn(move || assert_eq!(other.number(), 1));
    assert_eq!(session.number(), 1);
    drop(session);
    thread.join().unwrap();
    assert_eq!(ledger.alive(), 0);
}

/// The count of a table is given up beside a handle that goes: whichever is the last sees what the
/// other did.
#[model]
fn count_of_a_table() {
    let test = TestCache::stored();
    let held = test.cache.get(&id(1)).unwrap();
    let holder = thread::spawn(move || assert_eq!(held.number(), 1));
    assert!(test.cache.remove_id(&id(1)));
    test.cache.collect();
    holder.join().unwrap();
    test.assert_holds(&[]);
    test.end();
}

fn replace_beside_get() {
    let test = TestCache::stored();
    let reader = test.spawn(|test| {
        let seen = test.get(1).expect("a replacement leaves no gap");
        assert!([1, 2].contains(&seen));
    });
    assert_eq!(replaced(test.add(1, 2)), Some(1));
    reader.join().unwrap();
    test.assert_stored(&[2]);
    test.end();
}

/// A reader beside a replacement gets the old or the new session, and what it got is alive.
#[model]
fn replace_and_get() {
    replace_beside_get();
}

/// The same on real crossbeam-epoch, whose order between two pins the contract reclaimer may
/// exceed.
#[model(tracks(&[REGISTRY]), real_epoch(), preemptions(2))]
fn replace_and_get_epoch() {
    replace_beside_get();
}

/// The same with `read`, which raises no count.
#[model]
fn replace_and_read() {
    let test = TestCache::stored();
    let reader = test.spawn(|test| {
        test.cache.read(&id(1), |session| assert!([1, 2].contains(&session.number()))).unwrap();
    });
    assert_eq!(replaced(test.add(1, 2)), Some(1));
    reader.join().unwrap();
    test.assert_holds(&[2]);
}

/// Looks at a session when the cache may be gone.
fn get_and_let_go(test: TestCache) -> Option<u64> {
    let held = test.cache.get(&id(1));
    drop(test);
    held.map(|session| session.number())
}

/// A reader that got a handle holds it across everything that can end the stay.
#[model(tracks(&[REGISTRY]))]
fn get_and_last_drop() {
    let test = TestCache::stored();
    let holder = test.spawn(get_and_let_go);
    assert_eq!(test.take(1), Some(1));
    test.cache.collect();
    assert!([None, Some(1)].contains(&holder.join().unwrap()));
    test.assert_holds(&[]);
    test.end();
}

/// A reader inside `read` while the session is replaced, taken, stored anew and the garbage
/// collected: it reads what it found, alive, to the end.
#[model(tracks(&[REGISTRY]))]
fn stalled_reader() {
    let test = TestCache::stored();
    let reader = test.spawn(|test| {
        test.cache.read(&id(1), |session| {
            let first = session.number();
            loom_tests::thread::yield_now();
            assert_eq!(session.number(), first);
        });
    });
    assert_eq!(replaced(test.add(1, 2)), Some(1));
    assert_eq!(test.take(1), Some(2));
    test.insert(1, 3);
    test.cache.collect();
    reader.join().unwrap();
    test.assert_holds(&[3]);
}

/// A handle outlives the cache, on another thread.
#[model]
fn drop_and_handle() {
    let test = TestCache::stored();
    let holder = test.spawn(get_and_let_go);
    let other = test.cache.take(&id(1));
    let seen = {
        drop(test);
        holder.join().unwrap()
    };
    assert!(seen.is_none() || seen == Some(1));
    assert_eq!(other.map(|session| session.number()), Some(1));
}
