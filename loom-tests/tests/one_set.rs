//! Property: in a table of one set for each key, at most one member of a key is visible at any time, in the old table or
//! the new one, and the reports of all operations are those of some sequence of single operations.
//!
//! Guards the steps of insertion and migration that `candidates::one_set` numbers: each is left out by a mutant at the end.
#![cfg(sessile_loom)]

use loom_tests::candidates::one_set::{self as part, MATCHED, OneSet};
use loom_tests::check::{check_with, expect_violation};
use loom_tests::scenario::{Scenario, Step, Step::*};

/// Objects 0 to 9 have the first key, 10 to 19 the second, and so on. The first two keys have one set in a table of two
/// sets as well, the third the other.
const fn key_of(object: u64) -> u64 {
    KEYS[object as usize / 10]
}

const KEYS: [u64; 4] = [0x1000_0000 << 32 | 1, 0x2000_0000 << 32 | 2, 0xF000_0000 << 32 | 3, 4];

/// The contended key, and objects of it.
const K: u64 = KEYS[0];
const X: u64 = 0;
const Y: u64 = 1;
const Z: u64 = 2;
/// Others of the set.
const B: u64 = 10;
const C: u64 = 20;
const D: u64 = 30;
const B_KEY: u64 = key_of(B);

const fn scenario(before: &'static [Step], threads: &'static [&'static [Step]]) -> Scenario {
    Scenario { buckets: 1, key_of, before, threads }
}

// Two threads.
const ADD_ADD: Scenario = scenario(&[], &[&[Add(X)], &[Add(Y)]]);
const TWO_KEYS: Scenario = scenario(&[], &[&[Add(X), Get(B_KEY)], &[Add(B), Get(K)]]);
const ADD_AGAIN: Scenario = scenario(&[], &[&[Add(X), Take(K), Add(X)], &[Add(Y)]]);
const FULL_SET: Scenario = scenario(&[Add(B), Add(C)], &[&[Add(X)], &[Add(Y), Get(K)]]);
const REPLACE_GET: Scenario = scenario(&[Add(X)], &[&[Add(Y), Add(B)], &[Get(K), Get(K)]]);
const TAKE_ADD_GET: Scenario = scenario(&[Add(X)], &[&[Take(K), Add(Y)], &[Get(K), Get(K)]]);
const IDENTICAL: Scenario = scenario(&[], &[&[Add(X), Take(K)], &[Add(X)]]);
const NAMED_IS_FREE: Scenario = scenario(&[Add(B), Add(X), Take(K)], &[&[Add(Y), Take(K)], &[Add(Z)]]);
const NAMED_REUSED: Scenario = scenario(&[Add(X), Take(K)], &[&[Add(Y), Take(K)], &[Add(Z), Get(K)]]);

// Three threads.
const ADD_ADD_ADD: Scenario = scenario(&[], &[&[Add(X)], &[Add(Y)], &[Add(Z)]]);
const TWO_KEYS_TAKE: Scenario = scenario(&[], &[&[Add(X), Take(K)], &[Add(B)], &[Add(Y)]]);
const ADD_ADD_TAKE: Scenario = scenario(&[], &[&[Add(X)], &[Add(Y)], &[Take(K), Take(K)]]);
const ADD_SAME_TAKE: Scenario = scenario(&[], &[&[Add(X)], &[Add(X)], &[Take(K)]]);
const ADD_SAME_AND_OTHER: Scenario = scenario(&[], &[&[Add(X)], &[Add(X)], &[Add(Y)]]);
const WITHDRAW_EVICT: Scenario = scenario(&[Add(B), Add(C)], &[&[Add(X)], &[Add(Y)], &[Add(D)]]);
const STALE_HELPER: Scenario = scenario(&[], &[&[Help(K)], &[Add(X), Take(K), Add(Z)], &[Add(Y)]]);
const STALE_HELPER_SAME: Scenario = scenario(&[], &[&[Help(K)], &[Add(X), Take(K), Add(X)], &[Add(Y)]]);
const STALE_CLAIM: Scenario = scenario(&[], &[&[Help(K)], &[Add(Y)], &[Add(X), Take(K)]]);
/// The helper of an adder that died sleeps before its exchange; the slot is claimed again, for another object or the same.
const PAUSED_HELPER: Scenario = scenario(&[Abandon(X)], &[&[Help(K)], &[Add(B), Take(K), Add(Z)], &[Add(D)]]);
const PAUSED_HELPER_SAME: Scenario =
    scenario(&[Abandon(X)], &[&[Help(K)], &[Add(B), Take(K), Add(X)], &[Add(D)]]);

// A migration beside others.
const MOVE_ADD: Scenario = scenario(&[Add(C)], &[&[Move(99)], &[Add(X), Get(K)]]);
const MOVE_IDENTICAL: Scenario = scenario(&[Add(X)], &[&[Move(99)], &[Add(X), Get(K)]]);
const MOVE_REPLACE: Scenario = scenario(&[Add(X)], &[&[Move(99)], &[Add(Y), Get(K)]]);
const MOVE_GET: Scenario = scenario(&[Add(X), Add(C)], &[&[Move(99)], &[Get(K), Get(K)]]);
const MOVE_TAKE: Scenario = scenario(&[Add(X)], &[&[Move(99)], &[Take(K), Get(K)]]);
const MOVE_TAKE_ADD: Scenario = scenario(&[Add(X)], &[&[Move(99)], &[Take(K), Add(X), Take(K)]]);
const MOVE_FULL: Scenario = scenario(&[Add(X), Add(B)], &[&[Move(99)], &[Add(D), Get(K)]]);
const MOVE_ADD_ADD: Scenario = scenario(&[], &[&[Move(99)], &[Add(X)], &[Add(Y)]]);
const MOVE_ADD_TAKE: Scenario = scenario(&[Add(X)], &[&[Move(99)], &[Add(Y)], &[Take(K)]]);
const MOVE_REPLACE_GET: Scenario = scenario(&[Add(X)], &[&[Move(99)], &[Add(Y)], &[Get(K), Get(K)]]);
const MOVE_TAKE_GET: Scenario = scenario(&[Add(X)], &[&[Move(99)], &[Take(K), Add(Z)], &[Get(K), Get(K)]]);
const MOVE_HELP: Scenario = scenario(&[], &[&[Move(99)], &[Help(K)], &[Add(X), Get(K)]]);

/// One test for each scenario, in a module for each form: two threads at bound 3 or 2, three at bound 1, or as deep as
/// `LOOM_MAX_PREEMPTIONS` says.
macro_rules! every_scenario {
    ($($module:ident: $variant:expr;)*) => {$(
        mod $module {
            use super::*;

            every_scenario! { @ $module $variant, 3:
                add_add ADD_ADD,
                two_keys TWO_KEYS,
                full_set FULL_SET,
                replace_get REPLACE_GET,
                take_add_get TAKE_ADD_GET,
                identical IDENTICAL,
                named_is_free NAMED_IS_FREE,
                named_reused NAMED_REUSED,
                move_identical MOVE_IDENTICAL,
                move_get MOVE_GET,
                move_take MOVE_TAKE,
            }
            every_scenario! { @ $module $variant, 2:
                add_again ADD_AGAIN,
                move_add MOVE_ADD,
                move_replace MOVE_REPLACE,
                move_take_add MOVE_TAKE_ADD,
            }
            every_scenario! { @ $module $variant, 1:
                move_full MOVE_FULL,
                add_add_add ADD_ADD_ADD,
                two_keys_take TWO_KEYS_TAKE,
                add_add_take ADD_ADD_TAKE,
                add_same_take ADD_SAME_TAKE,
                add_same_and_other ADD_SAME_AND_OTHER,
                withdraw_evict WITHDRAW_EVICT,
                stale_helper STALE_HELPER,
                stale_helper_same STALE_HELPER_SAME,
                stale_claim STALE_CLAIM,
                paused_helper PAUSED_HELPER,
                paused_helper_same PAUSED_HELPER_SAME,
                move_add_add MOVE_ADD_ADD,
                move_add_take MOVE_ADD_TAKE,
                move_replace_get MOVE_REPLACE_GET,
                move_take_get MOVE_TAKE_GET,
                move_help MOVE_HELP,
            }

            /// The mover sleeps for ever after each of its steps, at first or in the middle of what others do.
            #[test]
            fn mover_asleep() {
                for steps in 0..=8 {
                    for threads in BESIDE_A_SLEEPER {
                        let before = vec![Add(X), Move(steps)].leak();
                        let asleep = Scenario { threads, ..scenario(before, &[]) };
                        check_with(2, concat!(stringify!($module), "::mover_asleep"), move || asleep.run::<OneSet<2, { $variant }>>());
                    }
                }
            }
        }
    )*};
    (@ $module:ident $variant:expr, $bound:literal: $($test:ident $scenario:ident,)*) => {$(
        #[test]
        fn $test() {
            let name = concat!(stringify!($module), "::", stringify!($test));
            check_with($bound, name, || $scenario.run::<OneSet<2, { $variant }>>());
        }
    )*};
}

const BESIDE_A_SLEEPER: [&[&[Step]]; 4] = [
    &[&[Add(Y)], &[Get(K), Get(K)]],
    &[&[Add(Y)], &[Take(K), Get(K)]],
    &[&[Take(K), Add(Z)], &[Add(Y)]],
    &[&[Add(B), Take(K)], &[Add(X), Get(K)]],
];

every_scenario! {
    one_set: 0;
    one_set_matched: MATCHED;
}

const TWO_MEMBERS: &str = "two members of a key";
const NO_ORDER: &str = "no order explains";
const UNPUBLISHED: &str = "somebody opened an unpublished claim";

fn violates<const VARIANT: u32>(bound: usize, scenario: Scenario, name: &'static str, complaint: &str) {
    expect_violation(bound, name, complaint, move || scenario.run::<OneSet<2, VARIANT>>());
}

/// What each step of an insertion is for.
#[test]
fn one_set_without_a_step_of_insertion() {
    use part::{NAMED_SLOT, NO_FOURTH_STEP, NO_HELP, NO_SECOND_LOOK, NO_TOKENS, NO_VERSION, RELAXED};
    violates::<NO_HELP>(3, ADD_ADD, "no help", TWO_MEMBERS);
    violates::<RELAXED>(3, ADD_ADD, "relaxed", TWO_MEMBERS);
    violates::<NO_SECOND_LOOK>(2, PAUSED_HELPER, "no second look", UNPUBLISHED);
    violates::<NO_FOURTH_STEP>(2, STALE_CLAIM, "no fourth step", UNPUBLISHED);
    violates::<NAMED_SLOT>(2, TWO_KEYS_TAKE, "named slot", UNPUBLISHED);
    violates::<NO_TOKENS>(2, STALE_CLAIM, "no tokens", UNPUBLISHED);
    violates::<NO_VERSION>(2, PAUSED_HELPER_SAME, "no version", UNPUBLISHED);
}

#[test]
fn one_set_matched_without_a_step_of_insertion() {
    use part::{NO_FOURTH_STEP, NO_HELP, NO_SECOND_LOOK, NO_TOKENS, NO_VERSION, ONE_BIT};
    const ONE_LOOK: u32 = MATCHED | ONE_BIT | NO_SECOND_LOOK;
    violates::<{ MATCHED | NO_HELP }>(3, ADD_ADD, "matched: no help", TWO_MEMBERS);
    violates::<ONE_LOOK>(2, PAUSED_HELPER, "matched: no second look", UNPUBLISHED);
    violates::<{ MATCHED | NO_FOURTH_STEP }>(2, STALE_CLAIM, "matched: no fourth step", UNPUBLISHED);
    violates::<{ MATCHED | NO_TOKENS }>(2, STALE_CLAIM, "matched: no tokens", UNPUBLISHED);
    violates::<{ MATCHED | NO_VERSION }>(2, TWO_KEYS_TAKE, "matched: no version", UNPUBLISHED);
}

/// The bound: a helper that sleeps between its second look and its exchange is fooled by the same object, claimed in the
/// same slot, once the version bits of a claim have come round. By another object it is not.
#[test]
fn one_set_bound_of_a_pause() {
    use part::ONE_BIT;
    const MATCHED_BIT: u32 = MATCHED | ONE_BIT;
    violates::<ONE_BIT>(2, PAUSED_HELPER_SAME, "one bit: same object", UNPUBLISHED);
    violates::<MATCHED_BIT>(2, PAUSED_HELPER_SAME, "matched, one bit: same object", UNPUBLISHED);
    check_with(1, "one bit: another object", || PAUSED_HELPER.run::<OneSet<2, ONE_BIT>>());
    check_with(1, "matched, one bit: another object", || PAUSED_HELPER.run::<OneSet<2, MATCHED_BIT>>());
}

/// What each step of a migration is for.
#[test]
fn one_set_without_a_step_of_migration() {
    use part::{ANY_SHADOW, EARLY_CLEAR, NO_CLOSE, NO_HELP_AT_CLOSE, NO_PROMOTION};
    const SHADOW: &str = "a shadow that is not valid belongs to the mover";
    violates::<NO_CLOSE>(2, MOVE_ADD_ADD, "no close", TWO_MEMBERS);
    violates::<NO_HELP_AT_CLOSE>(2, MOVE_ADD, "no help at close", "something unfinished is left behind");
    violates::<ANY_SHADOW>(2, MOVE_TAKE, "any shadow", SHADOW);
    violates::<NO_PROMOTION>(2, MOVE_GET, "no promotion", NO_ORDER);
    violates::<EARLY_CLEAR>(2, MOVE_GET, "early clear", NO_ORDER);
}
