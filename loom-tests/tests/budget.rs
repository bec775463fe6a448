//! Permits and counters: no observer ever counts more sessions than the capacity.
//!
//! Guards: the release of a permit that is given back and the acquire of one that is taken, in the pool and among a thread's
//! spares; the release and acquire of a thread's counters. On the parts alone, with the counters in sight of the model.
#![cfg(sessile_loom)]

use loom_tests::{Model, thread};
use sessile::internals::BareBudget;
use std::sync::Arc;

/// Permits and counters.
const BOOKS: [&str; 2] = ["src/budget.rs", "src/sync/tally.rs"];

/// A budget of which thread 0 has used everything.
fn full(limit: usize, spare_shift: u32) -> Arc<BareBudget> {
    let budget = Arc::new(BareBudget::new(limit, spare_shift));
    (0..limit).for_each(|_| assert!(budget.insert(0)));
    budget
}

/// One thread removes, another inserts with the permit it got back, a third one counts.
#[test]
fn capacity_counted() {
    Model::new("capacity_counted").sees(&BOOKS).check(|| {
        let budget = full(1, 1);
        let adder = {
            let budget = Arc::clone(&budget);
            thread::spawn(move || {
                let inserted = budget.insert(1);
                assert!(budget.len() <= 1);
                inserted
            })
        };
        let onlooker = {
            let budget = Arc::clone(&budget);
            thread::spawn(move || assert!(budget.len() <= 1))
        };
        budget.remove(0);
        let inserted = adder.join().unwrap();
        onlooker.join().unwrap();
        assert_eq!(budget.len(), usize::from(inserted));
    });
}

/// The permit stays with the thread that removed, as a spare, until another thread asks for it.
#[test]
fn capacity_spares() {
    Model::new("capacity_spares").sees(&BOOKS).check(|| {
        let budget = full(2, 1);
        let adder = {
            let budget = Arc::clone(&budget);
            thread::spawn(move || {
                budget.reclaim(0);
                let inserted = budget.insert(1);
                assert!(budget.len() <= 2);
                inserted
            })
        };
        budget.remove(0);
        let inserted = adder.join().unwrap();
        assert_eq!(budget.len(), 1 + usize::from(inserted));
    });
}
