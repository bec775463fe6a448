//! Parts of the cache alone, for properties that the whole would hide behind other edges: limbo,
//! registry, claimant's numbers, permits and counters, weights and garbage, the right to move.
//!
//! Guards: the number that a sentinel raises, the stack at a limbo's side entrance, its share of
//! the total, the hand-over of a thread's record, the tidying of one, the numbers lent to threads
//! that have none, the permit that is given back and taken, bytes on their way to garbage, the
//! mover's last look for another size.
#![cfg(sessile_loom)]

use loom::cell::UnsafeCell;
use loom_tests::{COUNTERS, Model, PERMITS, PUBLISHED, REGISTRY, WEIGHTS, spawn_with, thread};
use sessile::internals::{BareBudget, BareBytes, BareLimbo, BareRegistry, BareTable};
use std::sync::Arc;

/// A reader that ends before its guard does, which a sentinel on its thread waited for; another
/// thread releases.
#[test]
fn limbo_sentinel() {
    Model::new("limbo_sentinel").check(|| {
        let limbo = Arc::new(BareLimbo::new());
        let reader = limbo.retire();
        let sentinel = limbo.seal().expect("one block is open");
        let other = thread::spawn(move || {
            reader.touch();
            sentinel.run();
        });
        let released = limbo.release();
        other.join().unwrap();
        assert!(released ^ limbo.release(), "released once");
    });
}

/// A block that is retired while somebody is inside, and sealed by the next who enters.
#[test]
fn limbo_side_entrance() {
    Model::new("limbo_side_entrance").check(|| {
        let limbo = Arc::new(BareLimbo::new());
        let owner = spawn_with(&limbo, |limbo| drop(limbo.retire()));
        let release_all = || {
            limbo.seal().into_iter().for_each(|sentinel| sentinel.run());
            usize::from(limbo.release())
        };
        limbo.inside(thread::yield_now);
        let mut released = release_all();
        owner.join().unwrap();
        released += release_all() + release_all();
        assert_eq!(released, 1);
    });
}

/// A collector tells the total what is pending while the owner retires and tells it too: nothing is
/// taken back.
#[test]
fn limbo_published() {
    Model::new("limbo_published").tracks(&[PUBLISHED, COUNTERS]).check(|| {
        let limbo = Arc::new(BareLimbo::new());
        let collector = spawn_with(&limbo, |limbo| limbo.publish());
        drop(limbo.retire());
        let told = limbo.publish();
        assert_eq!(told + collector.join().unwrap(), 1);
        limbo.seal().into_iter().for_each(|sentinel| sentinel.run());
        assert!(limbo.release());
    });
}

/// Whoever asks what is pending while one block is retired and another released is told of one at
/// least.
#[test]
fn limbo_pending() {
    Model::new("limbo_pending").tracks(&[COUNTERS]).check(|| {
        let limbo = Arc::new(BareLimbo::new());
        drop(limbo.retire());
        let onlooker = spawn_with(&limbo, |limbo| {
            assert!((1..=2).contains(&limbo.pending()), "{} pending", limbo.pending())
        });
        drop(limbo.retire());
        limbo.seal().into_iter().for_each(|sentinel| sentinel.run());
        assert!(limbo.release());
        onlooker.join().unwrap();
        assert!(limbo.release() && limbo.pending() == 0);
    });
}

/// Threads that come, count and exit, one with another's part: no count is lost.
#[test]
fn registry_hands_over() {
    Model::new("registry_hands_over").tracks(&[REGISTRY, COUNTERS]).check(|| {
        let registry = Arc::new(BareRegistry::new());
        let other = spawn_with(&registry, |registry| registry.count());
        registry.count();
        registry.count();
        other.join().unwrap();
        assert_eq!(registry.sum(), 3);
    });
}

/// Whoever comes to a segment of records that another thread has made sees it whole.
#[test]
fn registry_is_walked() {
    Model::new("registry_is_walked").tracks(&[REGISTRY, COUNTERS]).check(|| {
        let registry = Arc::new(BareRegistry::new());
        let others = [(); 2].map(|()| spawn_with(&registry, |registry| registry.count()));
        assert!(registry.sum() <= 2);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(registry.sum(), 2);
    });
}

/// Whoever walks over the records of others sees them whole.
#[test]
fn records_are_walked() {
    Model::new("records_are_walked").tracks(&[REGISTRY, COUNTERS]).check(|| {
        let registry = Arc::new(BareRegistry::new());
        // A segment is there: else the walk would end before it touched a word that is seen.
        registry.count();
        let others = [(); 2].map(|()| spawn_with(&registry, |registry| registry.count()));
        assert!(registry.sum() <= 3);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(registry.sum(), 3);
    });
}

/// A record is tidied after its owner while another thread comes: what it leaves is found, once.
#[test]
fn registry_is_tidied() {
    Model::new("registry_is_tidied").tracks(&[REGISTRY]).check(|| {
        let registry = Arc::new(BareRegistry::new());
        registry.leave();
        let other = spawn_with(&registry, |registry| registry.leave());
        let tidied = registry.tidy();
        other.join().unwrap();
        assert_eq!(tidied + registry.tidy(), 2);
        assert_eq!(registry.tidy(), 0);
    });
}

/// Threads without a claimant's number of their own are lent one, which nobody else has meanwhile.
#[test]
fn claimants_lend() {
    Model::new("claimants_lend").check(|| {
        let claimants = Arc::new(BareTable::new());
        let uses: Arc<[UnsafeCell<u32>; 2]> = Arc::new([UnsafeCell::new(0), UnsafeCell::new(0)]);
        let borrow = |claimants: Arc<BareTable>, uses: Arc<[UnsafeCell<u32>; 2]>| {
            let lent = claimants.with_lent(|number| uses[number % 2].with_mut(|_| ()));
            assert!(lent.is_some());
        };
        let other = {
            let (claimants, uses) = (Arc::clone(&claimants), Arc::clone(&uses));
            thread::spawn(move || borrow(claimants, uses))
        };
        borrow(claimants, uses);
        other.join().unwrap();
    });
}

/// A budget of which thread 0 has used everything.
fn full(limit: usize, spare_shift: u32) -> Arc<BareBudget> {
    let budget = Arc::new(BareBudget::new(limit, spare_shift));
    (0..limit).for_each(|_| assert!(budget.insert(0)));
    budget
}

/// One thread removes, another inserts with the permit it got back, a third one counts.
#[test]
fn capacity_counted() {
    Model::new("capacity_counted").tracks(&[PERMITS, COUNTERS]).check(|| {
        let budget = full(1, 1);
        let adder = spawn_with(&budget, |budget| {
            let inserted = budget.insert(1);
            assert!(budget.len() <= 1);
            inserted
        });
        let onlooker = spawn_with(&budget, |budget| assert!(budget.len() <= 1));
        budget.remove(0);
        let inserted = adder.join().unwrap();
        onlooker.join().unwrap();
        assert_eq!(budget.len(), usize::from(inserted));
    });
}

/// Two threads want the last permit: one gets it.
#[test]
fn capacity_last_permit() {
    Model::new("capacity_last_permit").tracks(&[PERMITS, COUNTERS]).check(|| {
        let budget = Arc::new(BareBudget::new(1, 32));
        let other = spawn_with(&budget, |budget| budget.insert(1));
        let inserted = budget.insert(0);
        assert!(budget.len() <= 1);
        assert!(inserted ^ other.join().unwrap());
        assert_eq!(budget.len(), 1);
    });
}

/// The permit stays with the thread that removed, as a spare, until another thread asks for it.
#[test]
fn capacity_spares() {
    Model::new("capacity_spares").tracks(&[PERMITS, COUNTERS]).check(|| {
        let budget = full(2, 1);
        let adder = spawn_with(&budget, |budget| {
            budget.reclaim(0);
            let inserted = budget.insert(1);
            assert!(budget.len() <= 2);
            inserted
        });
        budget.remove(0);
        let inserted = adder.join().unwrap();
        assert_eq!(budget.len(), 1 + usize::from(inserted));
        (0..2).for_each(|thread| budget.reclaim(thread));
        assert!(inserted ^ budget.insert(2), "a permit was lost");
    });
}

/// Two replacements for each of which the limit has room, and not for both.
#[test]
fn weight_announced() {
    Model::new("weight_announced").tracks(&[WEIGHTS, COUNTERS]).check(|| {
        let bytes = Arc::new(BareBytes::new(0));
        let other = spawn_with(&bytes, |bytes| bytes.replace(1, 1, 1));
        let here = bytes.replace(0, 1, 1);
        let there = other.join().unwrap();
        assert!(!(here && there), "together they pass the limit");
        assert!(bytes.garbage() <= 1 && bytes.sum() == bytes.garbage());
    });
}

/// What is evicted while somebody adds up is counted as used or as garbage.
#[test]
fn weight_to_garbage() {
    Model::new("weight_to_garbage").tracks(&[WEIGHTS, COUNTERS]).check(|| {
        let bytes = Arc::new(BareBytes::new(1));
        let other = spawn_with(&bytes, |bytes| bytes.evict(1, 1));
        assert!(bytes.sum() >= 1, "it is in nobody's sum");
        other.join().unwrap();
        assert_eq!(bytes.sum(), 1);
    });
}

/// Two threads want sizes: one of them moves, and neither size is left over.
#[test]
fn mover_hands_over() {
    Model::new("mover_hands_over").check(|| {
        let mover = Arc::new(BareTable::new());
        let other = spawn_with(&mover, |mover| mover.resize());
        mover.resize();
        other.join().unwrap();
        assert!(mover.is_settled(), "a resize was lost");
    });
}
