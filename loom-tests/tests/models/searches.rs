//! The searches themselves: each is on its own, whatever runs beside it or failed before it.
//!
//! Under the model only: plain threads have no switches.
#![cfg(sessile_loom)]

use loom_tests::{COUNTERS, Model, REGISTRY, TestCache, cache, thread};
use sessile::{Clock, CoarseClock};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

fn take_beside_take() {
    let test = TestCache::stored();
    let other = test.spawn(|test| test.take(1));
    assert!(test.cache.stats().taken <= 1);
    assert!(test.take(1).is_some() ^ other.join().unwrap().is_some());
}

/// Models of one scenario that differ in their switches.
fn models(name: &'static str) -> [Model; 3] {
    let seeing = Model::new(name).tracks(&[REGISTRY, COUNTERS]).preemptions(1);
    [Model::new(name).preemptions(1), seeing, seeing.real_epoch()]
}

/// Three searches with different switches begin together, and each finds the schedules that it
/// finds alone.
#[test]
fn searches_beside_each_other_are_as_alone() {
    let alone = models("take_beside_take").map(|model| model.search(take_beside_take).schedules);
    assert!(
        alone[0] < alone[1] && alone[1] != alone[2],
        "the switches make no difference: {alone:?}"
    );
    let begun = Arc::new(Barrier::new(alone.len()));
    let together = models("take_beside_take").map(|model| {
        let begun = Arc::clone(&begun);
        std::thread::spawn(move || {
            let waited = AtomicBool::new(false);
            let scenario = move || {
                // All have set their switches, and none has made a cache.
                if !waited.swap(true, Ordering::SeqCst) {
                    begun.wait();
                }
                take_beside_take();
            };
            model.search(scenario).schedules
        })
    });
    assert_eq!(together.map(|search| search.join().unwrap()), alone);
}

/// A search that fails in the middle of things ends alone, by its own message: what it leaves
/// behind would panic when it is dropped outside of a model.
#[test]
fn a_failed_search_ends_alone() {
    let [model, _, real] = models("fails_as_meant");
    let alone = model.search(take_beside_take).schedules;
    for model in [model, real] {
        assert_fails(model);
    }
    assert_eq!(model.search(take_beside_take).schedules, alone);
}

/// Fails while another thread of the model and the thread-local storage of both use the cache.
fn assert_fails(model: Model) {
    let failing = || {
        let test = TestCache::stored();
        let other = test.spawn(|test| test.take(1));
        assert_eq!(test.get(1), Some(1), "as meant");
        assert_eq!(other.join().unwrap(), Some(1));
    };
    let failed = std::thread::spawn(move || model.search(failing).schedules).join();
    let message = failed.unwrap_err();
    assert!(message.downcast_ref::<String>().unwrap().contains("as meant"));
}

/// The default clock stands still: a second that ends in the middle of a search would change what
/// its schedules do.
#[test]
fn the_clock_of_a_model_stands_still() {
    let before = CoarseClock.now();
    std::thread::sleep(Duration::from_millis(1_100));
    assert_eq!(CoarseClock.now(), before);
}

/// No model goes past the runner: what loom sees is made in a search of ours, or not at all.
#[test]
#[should_panic(expected = "only a search makes what a model sees")]
fn a_model_by_loom_alone_is_refused() {
    loom::model(|| drop(cache::<()>(4)));
}

/// Threads that share nothing that loom sees show nothing.
#[test]
#[should_panic(expected = "a single schedule")]
fn a_single_schedule_is_refused() {
    Model::new("lonely").search(|| thread::spawn(|| ()).join().unwrap());
}

#[test]
fn a_single_schedule_is_accepted_with_a_reason() {
    let lonely = Model::new("lonely").single_schedule("one thread");
    assert_eq!(lonely.search(|| drop(cache::<()>(4))).schedules, 1);
}

/// A reason that has ceased to hold is refused.
#[test]
#[should_panic(expected = "not a single one because one thread")]
fn several_schedules_are_not_a_single_one() {
    models("take_beside_take")[0].single_schedule("one thread").search(take_beside_take);
}
