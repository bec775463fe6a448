//! The hooks of the cache: they mark what changed and answer from memory.
#![forbid(unsafe_code)]

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use sessile::{Hooks, Operation, Query, RemovalCause, Session};

use crate::desk::{Desk, Mark, is_own_change};
use crate::payload::Payload;
use crate::place::{Place, TierKey, Uses};
use crate::stats::Counter;
use crate::waiter::Waiter;

/// The address that tells a session from all that live at the same time.
pub(crate) fn address_of<T>(session: &Session<T>) -> usize {
    std::ptr::from_ref::<T>(session).addr()
}

pub(crate) fn hooks_of<T: Payload>(desk: &Arc<Desk<T>>) -> Hooks<T> {
    let (added, removed, asked, absent) =
        (Arc::clone(desk), Arc::clone(desk), Arc::clone(desk), Arc::clone(desk));
    Hooks::new()
        .on_added(move |session| came(&added, session))
        .on_removed(move |session, cause| left(&removed, session, cause))
        .on_query(move |query| supply(&asked, query))
        .on_absent(move |query| was_absent(&absent, Place::asked(query)))
}

/// A session was removed that is not stored here.
fn was_absent<T: Payload>(desk: &Desk<T>, place: Place) {
    if !is_own_change(place) {
        desk.mark(place, Mark::Removed);
    }
}

/// A session came to the cache, or would have if the mode let it.
fn came<T: Payload>(desk: &Desk<T>, session: &Session<T>) {
    let place = Place::of(session);
    if desk.cache().is_some_and(|cache| !cache.mode().store) {
        desk.unstored.insert(place, session.clone());
    }
    desk.mark(place, Mark::Changed);
}

/// A session left the cache.
fn left<T: Payload>(desk: &Desk<T>, session: &Session<T>, cause: RemovalCause) {
    let place = Place::of(session);
    if is_own_change(place) {
        return;
    }
    let uses = desk.uses_of(session);
    let is_flushed = cause == RemovalCause::Flushed && !is_expired(desk, session);
    let is_ended = matches!(cause, RemovalCause::Removed | RemovalCause::Taken);
    if uses == Uses::Once && (is_ended || is_flushed) {
        desk.spent.insert(&place.used(Uses::Once));
    }
    if uses == Uses::Many && is_ended {
        // Another node may have written it.
        return desk.mark(place, Mark::Removed);
    }
    // What is neither written nor about to be is not in the tier, or was taken from it.
    if desk.is_mine(&place) {
        let is_final = is_ended || is_flushed || cause == RemovalCause::Replaced;
        let mark = if is_final { Mark::Changed } else { Mark::Evicted(address_of(session)) };
        desk.mark(place, mark);
    }
}

fn is_expired<T: Payload>(desk: &Desk<T>, session: &Session<T>) -> bool {
    let now = desk.cache().map(|cache| cache.now());
    now.zip(session.expires_at()).is_some_and(|(now, expires)| now > expires)
}

/// The miss hook: what was fetched for this lookup. Waits for the network only if, and as long as,
/// the program said so.
fn supply<T: Payload>(desk: &Desk<T>, query: &Query<'_>) -> Option<Session<T>> {
    let uses = match query.operation() {
        Operation::Take => Uses::Once,
        Operation::Get => Uses::Many,
        _ => return None,
    };
    let key = Place::asked(query).used(uses);
    hand_out(desk, key).or_else(|| {
        let budget = desk.options.wait?;
        wait_for(desk, &[key], budget);
        hand_out(desk, key)
    })
}

fn hand_out<T: Payload>(desk: &Desk<T>, key: TierKey) -> Option<Session<T>> {
    match key.uses {
        Uses::Many => {
            let session = desk.arrivals.get(&key)?.session.clone();
            if session.is_resumable() {
                return Some(session);
            }
            // It was removed while somebody kept it.
            desk.arrivals.remove_if(&key, |_, arrival| !arrival.session.is_resumable());
            None
        }
        Uses::Once => {
            let (_, arrival) = desk.arrivals.remove(&key)?;
            if desk.spent.insert(&key) {
                return Some(arrival.session);
            }
            desk.counters.count(Counter::Replayed);
            None
        }
    }
}

/// Has keys asked of the tier and waits on this thread. How many of them it had.
pub(crate) fn wait_for<T: Payload>(desk: &Desk<T>, keys: &[TierKey], budget: Duration) -> usize {
    let (sender, answers) = mpsc::channel();
    let is_asked = |key: &&TierKey| desk.ask(**key, || Waiter::Thread(sender.clone()));
    let asked = keys.iter().filter(is_asked).count();
    let end = Instant::now() + budget;
    let left = || end.saturating_duration_since(Instant::now());
    let answers: Vec<bool> = (0..asked).map_while(|_| answers.recv_timeout(left()).ok()).collect();
    if answers.len() < asked {
        desk.gave_up_on(keys, budget);
    }
    answers.into_iter().filter(|found| *found).count()
}
