//! The publication word alone: more threads than the whole cache leaves room for.
//!
//! Property: at most one member of a key, and each mark is taken at most as often as it was added.
//! Guards: the exchange of the publication word, the two looks of a helper, the nonce. These run on
//! the bare table, so they exist under the model cfg only; on plain threads the same races run
//! through the cache in `add.rs`.
#![cfg(sessile_loom)]

use loom::cell::UnsafeCell;
use loom_tests::{model, spawn_with, thread};
use sessile::internals::{BareTable, Mark};
use std::sync::Arc;

/// Marks with four keys.
static MARKS: [Mark; 7] = [
    Mark { key: 1, number: 0 },
    Mark { key: 1, number: 1 },
    Mark { key: 1, number: 2 },
    Mark { key: 2, number: 3 },
    Mark { key: 2, number: 4 },
    Mark { key: 3, number: 5 },
    Mark { key: 4, number: 6 },
];

/// A hash whose home is the second bucket; that of 0 is the first.
const OTHER_HOME: u64 = 1 << 31;

fn add_all(marks: &'static [usize]) -> Arc<BareTable> {
    let table = Arc::new(BareTable::new());
    let spawn = |&n: &usize| spawn_with(&table, move |table| table.add(0, &MARKS[n], n));
    let threads: Vec<_> = marks[1..].iter().map(spawn).collect();
    let here = table.add(0, &MARKS[marks[0]], marks[0]);
    let inserted = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .filter(|&inserted| inserted)
        .count();
    let keys = marks.iter().map(|&n| MARKS[n].key).collect::<std::collections::BTreeSet<_>>().len();
    assert_eq!(inserted + usize::from(here), keys, "each key is inserted once");
    assert_eq!(table.members().len(), keys);
    table
}

#[model]
fn publish_two() {
    drop(add_all(&[0, 1]));
}

/// Two threads that want a larger table at once: one hangs there, and both go on to it.
#[model]
fn grown_by_two() {
    let table = Arc::new(BareTable::new());
    let other = spawn_with(&table, |table| table.grow(4));
    let larger = table.grow(4);
    assert!(larger.is_some());
    assert_eq!(other.join().unwrap(), larger);
}

/// Of two adders of one key the second replaces the first, whoever opens the claim of the first:
/// what stays is the second's.
#[model]
fn publish_and_replace() {
    let table = Arc::new(BareTable::new());
    let other = spawn_with(&table, |table| table.add(0, &MARKS[1], 1));
    let is_first = table.add(0, &MARKS[0], 0);
    assert!(is_first ^ other.join().unwrap());
    assert_eq!(table.members(), [u8::from(is_first)], "a replacement was undone");
}

#[model(preemptions(1))]
fn publish_three() {
    drop(add_all(&[0, 1, 2]));
}

/// Two keys with one home get in each other's way and are both stored.
#[model]
fn publish_one_home() {
    drop(add_all(&[0, 3]));
}

/// A table in which only the slots of the first bucket are free, and both homes have had as many
/// publications.
fn half_full() -> Arc<BareTable> {
    let table = Arc::new(BareTable::new());
    for n in [5, 6] {
        assert!(table.add(OTHER_HOME, &MARKS[n], n));
        assert!(table.add(0, &MARKS[0], n) && table.take(0, 1).is_some());
    }
    table
}

/// Two adders of one key whose home is full: their claims lie in the other bucket, where whoever
/// helps must look.
#[model]
fn publish_in_the_other_bucket() {
    let table = half_full();
    let other = spawn_with(&table, |table| table.add(OTHER_HOME, &MARKS[3], 3));
    let here = table.add(OTHER_HOME, &MARKS[4], 4);
    assert!(here ^ other.join().unwrap(), "the key is inserted once");
    assert_eq!(table.members().len(), 3);
}

/// `claimant` claims a slot for `mark`, and is overtaken by a `rival` mark of the same key before
/// it can publish. Whoever helps meanwhile, for whatever reason, does not open the claim: it was
/// not published, and both would be stored.
fn overtaken(
    table: &BareTable,
    hash: u64,
    mark: usize,
    rival: usize,
    claimant: usize,
    help: impl Fn(),
) {
    let inserted = table.add_with(hash, &MARKS[mark], claimant, || {
        if !table.members().contains(&MARKS[rival].number) {
            assert!(table.add(hash, &MARKS[rival], 7));
            help();
        }
    });
    assert!(!inserted, "a key is inserted twice");
}

/// A helper that read the publication of a session, and sleeps. The session is taken, and its
/// claimant claims the same slot for `second`, which a `rival` overtakes.
fn stale_helper(hash: u64, second: usize, rival: usize) {
    let table = half_full();
    let claimant = spawn_with(&table, move |table| {
        assert!(table.add(0, &MARKS[0], 0));
        assert_eq!(table.take(0, 1), Some(0));
        overtaken(&table, hash, second, rival, 0, thread::yield_now);
    });
    table.help(0);
    claimant.join().unwrap();
    assert_eq!(table.members().len(), 3);
}

/// The second claim is for a key of another home: the helper's second look tells the two apart.
#[model(preemptions(2))]
fn publish_stale_helper() {
    stale_helper(OTHER_HOME, 3, 4);
}

/// The second claim is for the same session, and is the first but for its attempt: the nonce tells
/// the two apart.
#[model(preemptions(2))]
fn publish_second_attempt() {
    stale_helper(0, 0, 1);
}

/// A claimant that opened its claim and did not say so yet. The session is taken, and another
/// claims the slot: whoever helps the first does not open the claim of the second.
#[model(preemptions(2))]
fn publish_claim_of_another() {
    let table = half_full();
    let first = spawn_with(&table, |table| assert!(table.add(0, &MARKS[0], 0)));
    if table.take(0, 1).is_some() {
        overtaken(&table, OTHER_HOME, 3, 4, 1, || table.help(0));
        assert_eq!(table.members().len(), 3);
    }
    first.join().unwrap();
}

/// A session is taken and stored again, in the same slot and as the same word: whoever takes the
/// second stay is ordered after everything that was done before it began.
#[model]
fn take_orders_what_it_took() {
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
}
