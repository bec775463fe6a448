//! The search, against histories written by hand and against an oracle that tries every order.

use super::{Effect, PENDING, Step, is_linearizable};

const MARGIN: u64 = 0;

/// Sessions of the histories below.
const X: Option<u8> = Some(0);
const Y: Option<u8> = Some(1);

fn step(thread: usize, [invoked, returned]: [u64; 2], effect: Effect) -> Step {
    Step { invoked, returned, thread, place: invoked as usize, effect }
}

fn change(from: Option<u8>, to: Option<u8>) -> Effect {
    Effect::Change { from, to }
}

fn hit(object: Option<u8>) -> Effect {
    Effect::Observe { absent: false, objects: object.map_or(0, |object| 1 << object) }
}

const MISS: Effect = Effect::Observe { absent: true, objects: 0 };

#[track_caller]
fn accepts(steps: &[Step]) {
    assert!(is_linearizable(None, steps, MARGIN));
}

#[track_caller]
fn refuses(steps: &[Step]) {
    assert!(!is_linearizable(None, steps, MARGIN));
}

#[test]
fn an_order_within_the_intervals_is_found() {
    accepts(&[]);
    accepts(&[
        step(0, [1, 2], change(None, X)),
        step(1, [3, 4], hit(X)),
        step(0, [5, 6], change(X, None)),
    ]);
    // The hit overlaps the removal, and the miss the insertion.
    accepts(&[
        step(0, [1, 5], change(None, X)),
        step(1, [2, 3], MISS),
        step(0, [6, 10], change(X, None)),
        step(1, [8, 9], hit(X)),
    ]);
}

#[test]
fn a_session_is_not_found_after_its_removal_returned() {
    let removed = [step(0, [1, 2], change(None, X)), step(0, [3, 4], change(X, None))];
    accepts(&[removed[0], removed[1], step(1, [4, 6], hit(X))]);
    refuses(&[removed[0], removed[1], step(1, [5, 6], hit(X))]);
}

#[test]
fn of_two_who_take_one_stay_one_wins() {
    let added = step(0, [1, 2], change(None, X));
    let take = |thread, interval| step(thread, interval, change(X, None));
    accepts(&[added, take(1, [3, 9])]);
    refuses(&[added, take(1, [3, 9]), take(2, [3, 9])]);
    accepts(&[added, take(1, [3, 9]), take(2, [3, 9]), step(3, [3, 9], change(None, X))]);
}

#[test]
fn a_session_is_not_missed_unless_it_was_seen_to_leave() {
    let added = step(0, [1, 2], change(None, X));
    refuses(&[added, step(1, [3, 4], MISS)]);
    accepts(&[added, step(1, [3, 4], MISS), step(2, [2, 9], change(X, None))]);
    refuses(&[added, step(1, [3, 4], MISS), step(2, [5, 9], change(X, None))]);
}

#[test]
fn a_replacement_leaves_no_gap_and_replaces_what_is_there() {
    let replaced = [step(0, [1, 2], change(None, X)), step(0, [3, 9], change(X, Y))];
    refuses(&[replaced[0], replaced[1], step(1, [4, 8], MISS)]);
    accepts(&[replaced[0], replaced[1], step(1, [4, 5], hit(X)), step(1, [6, 7], hit(Y))]);
    refuses(&[replaced[0], replaced[1], step(1, [4, 5], hit(Y)), step(1, [6, 7], hit(X))]);
    refuses(&[step(0, [1, 2], change(None, X)), step(0, [3, 4], change(Y, X))]);
}

#[test]
fn what_two_readers_saw_must_fit_one_order() {
    let writers = [step(0, [1, 20], change(None, X)), step(1, [1, 20], change(X, Y))];
    accepts(&[writers[0], writers[1], step(2, [2, 3], hit(X)), step(3, [4, 5], hit(Y))]);
    refuses(&[writers[0], writers[1], step(2, [2, 3], hit(Y)), step(3, [4, 5], hit(X))]);
}

#[test]
fn a_pending_call_may_have_happened_or_not() {
    let pending = step(0, [1, PENDING], change(None, X));
    accepts(&[pending]);
    accepts(&[pending, step(1, [5, 6], MISS)]);
    accepts(&[pending, step(1, [5, 6], hit(X))]);
    accepts(&[pending, step(1, [5, 6], MISS), step(1, [7, 8], hit(X))]);
    refuses(&[pending, step(1, [5, 6], hit(X)), step(1, [7, 8], MISS)]);
    refuses(&[step(0, [7, PENDING], change(None, X)), step(1, [5, 6], hit(X))]);
}

#[test]
fn the_order_within_a_thread_holds_whatever_the_margin() {
    let steps = [step(0, [1, 2], change(None, X)), step(0, [3, 4], MISS)];
    assert!(!is_linearizable(None, &steps, 1000));
    let steps = [step(0, [1, 2], change(None, X)), step(1, [3, 4], MISS)];
    assert!(is_linearizable(None, &steps, 1000));
}

/// Tries every order of every set that holds all returned steps.
fn oracle(state: Option<u8>, done: u32, steps: &[Step]) -> bool {
    let is_done = |nth: usize| done & (1 << nth) != 0;
    if (0..steps.len()).all(|nth| is_done(nth) || steps[nth].returned == PENDING) {
        return true;
    }
    (0..steps.len()).filter(|&nth| !is_done(nth)).any(|nth| {
        let one = steps[nth];
        let waits = |other: usize| {
            let earlier = steps[other];
            !is_done(other)
                && if earlier.thread == one.thread {
                    earlier.place < one.place
                } else {
                    earlier.returned < one.invoked
                }
        };
        let after = match one.effect {
            Effect::Change { from, to } => (from == state).then_some(to),
            Effect::Observe { absent, objects } => {
                state.map_or(absent, |object| objects >> object & 1 == 1).then_some(state)
            }
        };
        !(0..steps.len()).any(waits)
            && after.is_some_and(|after| oracle(after, done | 1 << nth, steps))
    })
}

#[test]
fn the_search_agrees_with_an_oracle_that_tries_every_order() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut accepted = 0;
    for _ in 0..20_000 {
        let object = |random: &mut fastrand::Rng| random.u8(..3).checked_sub(1);
        let steps: Vec<_> = (0..random.usize(1..8))
            .map(|_| {
                let invoked = random.u64(..20);
                let returned =
                    if random.u8(..8) == 0 { PENDING } else { invoked + random.u64(1..8) };
                let effect = match random.bool() {
                    true => change(object(&mut random), object(&mut random)),
                    false => Effect::Observe { absent: random.bool(), objects: random.u128(..4) },
                };
                step(random.usize(..3), [invoked, returned], effect)
            })
            .collect();
        let expected = oracle(None, 0, &steps);
        assert_eq!(is_linearizable(None, &steps, MARGIN), expected, "{steps:?}");
        accepted += u32::from(expected);
    }
    assert!((2_000..18_000).contains(&accepted), "both answers are common: {accepted} accepted");
}
