//! Parts of the cache alone, for properties that the whole would hide behind other edges: limbo,
//! registry, claimant's numbers, permits and counters, weights and garbage, the right to move.
//!
//! Guards: the number that a sentinel raises, the stack at a limbo's side entrance, its share of
//! the total, the hand-over of a thread's record, the tidying of one, the numbers lent to threads
//! that have none, the permit that is given back and taken, bytes on their way to garbage, the
//! mover's last look for another size, the two fences of a removal and a session that comes late.
#![cfg(sessile_loom)]

use loom::cell::UnsafeCell;
use loom_tests::{COUNTERS, PERMITS, PUBLISHED, REGISTRY, WEIGHTS, model, spawn_with, thread};
use sessile::internals::{BareBudget, BareBytes, BareLimbo, BareRegistry, BareRemovals, BareTable};
use std::sync::Arc;

/// A reader that ends before its guard does, which a sentinel on its thread waited for; another
/// thread releases.
#[model]
fn limbo_sentinel() {
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
}

/// A block that is retired while somebody is inside, and sealed by the next who enters.
#[model]
fn limbo_side_entrance() {
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
}

/// A collector tells the total what is pending while the owner retires and tells it too: nothing is
/// taken back.
#[model(tracks(&[PUBLISHED, COUNTERS]))]
fn limbo_published() {
    let limbo = Arc::new(BareLimbo::new());
    let collector = spawn_with(&limbo, |limbo| limbo.publish());
    drop(limbo.retire());
    let told = limbo.publish();
    assert_eq!(told + collector.join().unwrap(), 1);
    limbo.seal().into_iter().for_each(|sentinel| sentinel.run());
    assert!(limbo.release());
}

/// Whoever asks what is pending while one block is retired and another released is told of one at
/// least.
#[model(tracks(&[COUNTERS]))]
fn limbo_pending() {
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
}

/// Threads that come, count and exit, one with another's part: no count is lost.
#[model(tracks(&[REGISTRY, COUNTERS]))]
fn registry_hands_over() {
    let registry = Arc::new(BareRegistry::new());
    let other = spawn_with(&registry, |registry| registry.count());
    registry.count();
    registry.count();
    other.join().unwrap();
    assert_eq!(registry.sum(), 3);
}

/// Whoever walks over the records of two threads that come sees them whole.
fn walked(registry: &Arc<BareRegistry>, before: u64) {
    let others = [(); 2].map(|()| spawn_with(registry, |registry| registry.count()));
    assert!(registry.sum() <= before + 2);
    others.into_iter().for_each(|other| other.join().unwrap());
    assert_eq!(registry.sum(), before + 2);
}

/// Whoever comes to a segment of records that another thread has made sees it whole.
#[model(tracks(&[REGISTRY, COUNTERS]))]
fn registry_is_walked() {
    walked(&Arc::new(BareRegistry::new()), 0);
}

/// The same where a segment is there: else the walk would end before it touched a word that is
/// seen.
#[model(tracks(&[REGISTRY, COUNTERS]))]
fn records_are_walked() {
    let registry = Arc::new(BareRegistry::new());
    registry.count();
    walked(&registry, 1);
}

/// A record is tidied after its owner while another thread comes: what it leaves is found, once.
#[model(tracks(&[REGISTRY]))]
fn registry_is_tidied() {
    let registry = Arc::new(BareRegistry::new());
    registry.leave();
    let other = spawn_with(&registry, |registry| registry.leave());
    let tidied = registry.tidy();
    other.join().unwrap();
    assert_eq!(tidied + registry.tidy(), 2);
    assert_eq!(registry.tidy(), 0);
}

/// Threads without a claimant's number of their own are lent one, which nobody else has meanwhile.
#[model]
fn claimants_lend() {
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
}

/// A budget of which thread 0 has used everything.
fn full(limit: usize, spare_shift: u32) -> Arc<BareBudget> {
    let budget = Arc::new(BareBudget::new(limit, spare_shift));
    (0..limit).for_each(|_| assert!(budget.insert(0)));
    budget
}

/// One thread removes, another inserts with the permit it got back, a third one counts.
#[model(tracks(&[PERMITS, COUNTERS]))]
fn capacity_counted() {
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
}

/// Two threads want the last permit: one gets it.
#[model(tracks(&[PERMITS, COUNTERS]))]
fn capacity_last_permit() {
    let budget = Arc::new(BareBudget::new(1, 32));
    let other = spawn_with(&budget, |budget| budget.insert(1));
    let inserted = budget.insert(0);
    assert!(budget.len() <= 1);
    assert!(inserted ^ other.join().unwrap());
    assert_eq!(budget.len(), 1);
}

/// The permit stays with the thread that removed, as a spare, until another thread asks for it.
#[model(tracks(&[PERMITS, COUNTERS]))]
fn capacity_spares() {
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
}

/// Two replacements for each of which the limit has room, and not for both.
#[model(tracks(&[WEIGHTS, COUNTERS]))]
fn weight_announced() {
    let bytes = Arc::new(BareBytes::new(0));
    let other = spawn_with(&bytes, |bytes| bytes.replace(1, 1, 1));
    let here = bytes.replace(0, 1, 1);
    let there = other.join().unwrap();
    assert!(!(here && there), "together they pass the limit");
    assert!(bytes.garbage() <= 1 && bytes.sum() == bytes.garbage());
}

/// What is evicted while somebody adds up is counted as used or as garbage.
#[model(tracks(&[WEIGHTS, COUNTERS]))]
fn weight_to_garbage() {
    let bytes = Arc::new(BareBytes::new(1));
    let other = spawn_with(&bytes, |bytes| bytes.evict(1, 1));
    assert!(bytes.sum() >= 1, "it is in nobody's sum");
    other.join().unwrap();
    assert_eq!(bytes.sum(), 1);
}

/// Two threads want sizes: one of them moves, and neither size is left over.
#[model]
fn mover_hands_over() {
    let mover = Arc::new(BareTable::new());
    let other = spawn_with(&mover, |mover| mover.resize());
    mover.resize();
    other.join().unwrap();
    assert!(mover.is_settled(), "a resize was lost");
}

/// A session comes late: either a removal finds it, or it does not stay.
#[model]
fn late_session_beside_a_removal() {
    let slot = Arc::new(BareRemovals::new());
    let watch = slot.set_out();
    let remover = spawn_with(&slot, |slot| slot.remove());
    let stays = slot.come(watch);
    assert!(remover.join().unwrap() || !stays);
}
