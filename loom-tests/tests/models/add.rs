//! Insertion: a key is never stored twice, and what is found is whole.
//!
//! Guards: the publication word (`raw::publish`), the claim and the opening exchange, the acquire
//! of a slot's word.

use loom_tests::{TestCache, model, replaced};
use sessile::{Added, Rejected, Session};

/// A lookup beside an insertion finds nothing or the whole session.
#[model]
fn add_and_get() {
    let test = TestCache::new(4);
    let adder = test.spawn(|test| test.insert(1, 7));
    assert!([None, Some(7)].contains(&test.get(1)));
    adder.join().unwrap();
    test.assert_holds(&[7]);
    test.end();
}

/// Adders of one absent key: one inserts, the others replace, each one another's; the last one
/// stays.
fn add_same_key(adders: u64) {
    let test = TestCache::new(4);
    let others: Vec<_> =
        (1..adders).map(|n| test.spawn(move |test| replaced(test.add(1, n)))).collect();
    let mut left: Vec<_> = vec![replaced(test.add(1, 0))];
    left.extend(others.into_iter().map(|other| other.join().unwrap()));
    let stays = test.numbers();
    assert_eq!(stays.len(), 1, "one key");
    assert_eq!(
        left.iter().filter(|old| old.is_none()).count(),
        1,
        "one adder finds the key absent"
    );
    let mut ended: Vec<_> = left.into_iter().flatten().chain(stays.iter().copied()).collect();
    ended.sort_unstable();
    assert_eq!(ended, (0..adders).collect::<Vec<_>>(), "each session is replaced once, or stays");
    // What was withdrawn left its slot: the set takes as many as it has slots.
    (10..13).for_each(|key| test.insert(key, u64::from(key)));
    test.assert_holds(&[stays[0], 10, 11, 12]);
    test.end();
}

#[model]
fn add_and_add() {
    add_same_key(2);
}

#[model(preemptions(1), at_night(2))]
fn add_three() {
    add_same_key(3);
}

fn is_inserted<T>(added: &Result<Added<T>, Rejected<T>>) -> bool {
    match added {
        Ok(Added::Inserted) => true,
        Ok(Added::Identical) => false,
        _ => panic!("an add of one object by two inserts it or finds it"),
    }
}

/// Two adds of one object: the cache holds one count of it.
#[model]
fn add_same_object() {
    let test = TestCache::new(4);
    let session = test.session(1, 1);
    let other = {
        let session = session.clone();
        test.spawn(|test| is_inserted(&test.cache.add(session)))
    };
    let here = is_inserted(&test.cache.add(session.clone()));
    assert!(here ^ other.join().unwrap(), "one add inserts, the other finds the identical object");
    test.cache.collect();
    assert_eq!(Session::handle_count(&session), 2);
}

/// Two keys that share a home, and every slot, are both stored.
#[model]
fn add_two_keys() {
    let test = TestCache::new(4);
    let other = test.spawn(|test| test.insert(2, 2));
    test.insert(1, 1);
    other.join().unwrap();
    test.assert_holds(&[1, 2]);
}

/// An object that is added, taken and added again beside an adder of its key: a helper that saw the
/// first claim does not open the second one, and each stay ends once.
#[model(preemptions(2))]
fn add_stale_helper() {
    let test = TestCache::new(4);
    let session = test.session(1, 1);
    let helper = test.spawn(|test| replaced(test.add(1, 2)));
    let (mut taken, mut replacements) = (0, 0);
    for _ in 0..2 {
        replacements += usize::from(replaced(test.cache.add(session.clone())).is_some());
        taken += usize::from(test.take(1).is_some());
    }
    replacements += usize::from(helper.join().unwrap().is_some());
    let left = test.numbers().len();
    assert!(left <= 1, "one key, {left} members");
    assert_eq!(3, taken + replacements + left, "three stays, each ended once or lasting");
}
