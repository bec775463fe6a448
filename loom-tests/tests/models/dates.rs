//! The dates of a session: the expiry is that of the last date and the last timeout, whoever set
//! them.
//!
//! Guards: the exchange that writes an expiry, between the look at what it is computed from and the
//! second look; the load of the count by which a cache knows that nobody else dates the session.

use loom_tests::{TestCache, id, model, thread};
use sessile::{ManualClock, Mode, Session, SessionBuilder, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// One thread dates a session while this one sets its timeout to 20 seconds: the expiry when that
/// is done, and at the end.
fn beside_a_dater(session: SessionBuilder, date: u64) -> [Option<Timestamp>; 2] {
    let session = session.created_at(100).timeout(Duration::from_secs(10)).build(());
    let other = session.clone();
    let dater = thread::spawn(move || other.set_created_at(date));
    session.set_timeout(Duration::from_secs(20));
    let expiry = session.expires_at();
    dater.join().unwrap();
    [expiry, session.expires_at()]
}

/// One thread dates a session while another changes its timeout.
#[model(tracks(&["src/session/block.rs"]))]
fn dates_two_setters() {
    let [_, last] = beside_a_dater(Session::<()>::builder(id(1)), 200);
    assert_eq!(last, Some(Timestamp::from_secs(220)));
}

/// A cache dates a session whose other holder has just changed its timeout and gone.
#[model(tracks(&["src/session/block.rs"]))]
fn dates_after_a_holder() {
    let test = TestCache::new(2);
    let session = test.session(1, 1);
    session.set_timeout(Duration::from_secs(10));
    let other = session.clone();
    let holder = thread::spawn(move || other.set_timeout(Duration::from_secs(20)));
    assert!(test.cache.add(session).is_ok_and(|added| added.changed()));
    holder.join().unwrap();
    let stored = test.cache.get(&id(1)).unwrap();
    assert_eq!(stored.timeout(), Some(Duration::from_secs(20)));
    assert_eq!(
        stored.expires_at(),
        stored.created_at().map(|created| created + Duration::from_secs(20))
    );
}

/// A timeout is in force when its setter has returned, whoever computes an expiry from what was
/// before.
#[model(tracks(&["src/session/block.rs"]))]
fn dates_that_were_set_are_in_force() {
    let [expiry, last] = beside_a_dater(Session::<()>::builder(id(1)), 200);
    assert!(
        [Some(Timestamp::from_secs(120)), Some(Timestamp::from_secs(220))].contains(&expiry),
        "{expiry:?}"
    );
    assert_eq!(last, Some(Timestamp::from_secs(220)));
}

/// The same of an expiry that one of the setters does not change: it is written all the same.
#[model(tracks(&["src/session/block.rs"]))]
fn dates_under_a_deadline() {
    let [_, last] = beside_a_dater(Session::<()>::builder(id(1)).deadline(105), 50);
    assert_eq!(last, Some(Timestamp::from_secs(70)));
}

/// An add that dates its session anew, of a moment ago, beside a lookup that does of now.
#[model(tracks(&["src/session/block.rs"]))]
fn dates_of_an_add_yield() {
    let clock = Arc::new(ManualClock::new(100));
    let mode = Mode { auto_flush: false, update_time: true, ..Mode::default() };
    let test = TestCache::built(|builder| builder.capacity(4).mode(mode).clock(Arc::clone(&clock)));
    let adder = test.spawn(|test| test.insert(1, 1));
    // The clock is no word that a model sees: the add reads it before or after this lookup.
    let _ = test.get(1);
    clock.set(150);
    let found = test.cache.get(&id(1));
    adder.join().unwrap();
    if let Some(found) = found {
        assert_eq!(found.created_at(), Some(Timestamp::from(150)));
    }
}
