//! Limbo: what is retired is released once, after its readers, whoever does it.
//!
//! Guards: the occupation of a limbo, and what `parts.rs` shows of it alone. On real
//! crossbeam-epoch: the contract reclaimer has no limbo.

use loom_tests::{REGISTRY, TestCache, id, model};

/// A reader that helps to collect, beside a retirement and a collection: the sentinel may run on
/// either thread, and the release comes after the reader.
#[model(real_epoch(), tracks(&[REGISTRY]), preemptions(2))]
fn limbo_ripens() {
    let test = TestCache::stored();
    let reader = test.spawn(|test| {
        let seen = test.cache.read(&id(1), |session| session.number());
        assert!([None, Some(1)].contains(&seen));
    });
    assert!(test.cache.remove_id(&id(1)));
    test.cache.collect();
    reader.join().unwrap();
    test.end();
}

/// A retirement beside a collector that is inside the same limbo.
#[model(real_epoch(), tracks(&[REGISTRY]), preemptions(2))]
fn limbo_occupied() {
    let test = TestCache::stored();
    let collector = test.spawn(|test| test.cache.collect());
    assert!(test.cache.remove_id(&id(1)));
    collector.join().unwrap();
    test.end();
}

/// A thread that retires and exits: its leftovers are released by another's collection, or with the
/// cache.
#[model(real_epoch(), tracks(&[REGISTRY]), preemptions(2))]
fn limbo_adopted() {
    let test = TestCache::stored();
    let leaver = test.spawn(|test| assert!(test.cache.remove_id(&id(1))));
    test.cache.collect();
    leaver.join().unwrap();
    test.end();
}

/// More becomes ripe while a retirement looks for a ripe block and finds none: then it takes no
/// second one either, which nobody would release.
#[model(real_epoch(), tracks(&[REGISTRY]), preemptions(2))]
fn limbo_second_behind_a_first() {
    let test = TestCache::full(3);
    assert!(test.cache.remove_id(&id(1)));
    let other = test.spawn(|test| assert!(test.cache.remove_id(&id(3))));
    assert!(test.cache.remove_id(&id(2)));
    other.join().unwrap();
    test.end();
}
