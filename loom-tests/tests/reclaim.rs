//! Limbo: what is retired is released once, after its readers, whoever does it.
//!
//! Guards: the occupation of a limbo, the stack at its side entrance, the number that a sentinel raises, the hand-over of a
//! thread's part to the next thread. On real crossbeam-epoch but for the last: the contract reclaimer has no limbo.

use loom_tests::{Model, REGISTRY, Stage, id};

const TALLY: &str = "src/sync/tally.rs";

/// A reader that helps to collect, beside a retirement and a collection: the sentinel may run on either thread, and the
/// release comes after the reader.
#[test]
fn limbo_ripens() {
    Model::new("limbo_ripens").real_epoch().sees(&[REGISTRY]).preemptions(2).check(|| {
        let stage = Stage::stored();
        let reader = stage.beside(|stage| {
            let seen = stage.cache.read(&id(1), |session| session.number());
            assert!([None, Some(1)].contains(&seen));
        });
        assert!(stage.cache.remove_id(&id(1)));
        stage.cache.collect();
        reader.join().unwrap();
        stage.end();
    });
}

/// A retirement beside a collector that is inside the same limbo.
#[test]
fn limbo_occupied() {
    Model::new("limbo_occupied").real_epoch().sees(&[REGISTRY]).preemptions(2).check(|| {
        let stage = Stage::stored();
        let collector = stage.beside(|stage| stage.cache.collect());
        assert!(stage.cache.remove_id(&id(1)));
        collector.join().unwrap();
        stage.end();
    });
}

/// A thread that retires and exits: its leftovers are released by another's collection, or with the cache.
#[test]
fn limbo_adopted() {
    Model::new("limbo_adopted").real_epoch().sees(&[REGISTRY]).preemptions(2).check(|| {
        let stage = Stage::stored();
        let leaver = stage.beside(|stage| assert!(stage.cache.remove_id(&id(1))));
        stage.cache.collect();
        leaver.join().unwrap();
        stage.end();
    });
}

/// Threads that begin together each find a part of their own, and whoever adds the parts up sees them whole.
#[test]
fn registry_is_walked() {
    Model::new("registry_is_walked").sees(&[REGISTRY]).check(|| {
        let stage = Stage::new(4);
        let adder = stage.beside(|stage| stage.insert(2, 2));
        assert!(stage.cache.len() <= 1);
        stage.insert(1, 1);
        adder.join().unwrap();
        stage.assert_holds(&[1, 2]);
    });
}

/// A thread that exits leaves its part to another, which goes on counting where it stopped.
#[test]
fn registry_hands_over() {
    Model::new("registry_hands_over").sees(&[REGISTRY, TALLY]).check(|| {
        let stage = Stage::new(4);
        let miss = |stage: Stage| assert_eq!(stage.get(1), None);
        let others = [stage.beside(miss), stage.beside(miss)];
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(stage.cache.stats().misses, 2, "a count was lost in the hand-over");
    });
}
