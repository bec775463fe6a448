//! The publication word alone: more threads than the whole cache leaves room for.
//!
//! Property: at most one member of a key, and each mark is taken at most as often as it was added. Guards: the exchange of
//! the publication word, the two looks of a helper, the nonce. These run on the bare table, so they exist under the model
//! cfg only; on plain threads the same races run through the cache in `add.rs`.
#![cfg(sessile_loom)]

use loom::cell::UnsafeCell;
use loom_tests::{Model, thread};
use sessile::internals::{BareTable, Mark};
use std::sync::Arc;

/// Marks with two keys.
static MARKS: [Mark; 4] = [
    Mark { key: 1, number: 0 },
    Mark { key: 1, number: 1 },
    Mark { key: 1, number: 2 },
    Mark { key: 2, number: 3 },
];

fn add_all(marks: &'static [usize]) -> Arc<BareTable> {
    let table = Arc::new(BareTable::new());
    let spawn = |&n: &usize| {
        let table = Arc::clone(&table);
        thread::spawn(move || table.add(0, &MARKS[n], n))
    };
    let threads: Vec<_> = marks[1..].iter().map(spawn).collect();
    let here = table.add(0, &MARKS[marks[0]], marks[0]);
    let inserted =
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|&inserted| inserted).count();
    let keys = marks.iter().map(|&n| MARKS[n].key).collect::<std::collections::BTreeSet<_>>().len();
    assert_eq!(inserted + usize::from(here), keys, "each key is inserted once");
    assert_eq!(table.members().len(), keys);
    table
}

#[test]
fn publish_two() {
    Model::new("publish_two").check(|| drop(add_all(&[0, 1])));
}

#[test]
fn publish_three() {
    Model::new("publish_three").preemptions(1).check(|| drop(add_all(&[0, 1, 2])));
}

/// Two keys with one home get in each other's way and are both stored.
#[test]
fn publish_one_home() {
    Model::new("publish_one_home").check(|| drop(add_all(&[0, 3])));
}

/// A mark that is added, taken and added again, beside an adder of its key and a taker.
#[test]
fn publish_stale_helper() {
    Model::new("publish_stale_helper").preemptions(1).check(|| {
        let table = Arc::new(BareTable::new());
        let adder = {
            let table = Arc::clone(&table);
            thread::spawn(move || table.add(0, &MARKS[1], 1))
        };
        let taker = {
            let table = Arc::clone(&table);
            thread::spawn(move || table.take(0, 1))
        };
        let mut inserted = usize::from(table.add(0, &MARKS[0], 0));
        let mut taken = usize::from(table.take(0, 1).is_some());
        inserted += usize::from(table.add(0, &MARKS[0], 0));
        inserted += usize::from(adder.join().unwrap());
        taken += usize::from(taker.join().unwrap().is_some());
        let left = table.members().len();
        assert!(left <= 1, "one key, {left} members");
        assert_eq!(inserted, taken + left, "every insertion ends in one take or stays");
    });
}

/// A session is taken and stored again, in the same slot and as the same word: whoever takes the second stay is ordered after
/// everything that was done before it began.
#[test]
fn take_orders_what_it_took() {
    Model::new("take_orders_what_it_took").check(|| {
        let table = Arc::new(BareTable::new());
        let contents = Arc::new(UnsafeCell::new(0));
        assert!(table.add(0, &MARKS[0], 0));
        let taker = {
            let (table, contents) = (Arc::clone(&table), Arc::clone(&contents));
            thread::spawn(move || {
                let taken = table.take(0, 1).is_some();
                if taken {
                    contents.with(|_| ());
                }
                taken
            })
        };
        let here = table.take(0, 1).is_some();
        if here {
            contents.with_mut(|_| ());
            assert!(table.add(0, &MARKS[0], 0));
        }
        assert!(taker.join().unwrap() || here);
    });
}
