//! Property: at most one member of a key is visible at any time, and the reports of all operations are those of some
//! sequence of single operations: no add inserts twice, nothing taken comes back, no lookup misses a replaced key.
//!
//! Guards the choice of the insertion protocol, and in each candidate the instruction that the mutant at the end of this
//! file lacks.
//!
//! Under the model only: the state before and after a scenario is read as loom shows it, which plain threads do not.
#![cfg(sessile_loom)]

use loom_tests::candidates::claim_and_rescan::{self as rescan, ClaimAndRescan};
use loom_tests::candidates::control_word::{self as control, ControlWord};
use loom_tests::candidates::publication_word::{self as publication, PublicationWord};
use loom_tests::candidates::{AS_DESCRIBED, Candidate};
use loom_tests::check::{check_with, expect_violation};
use loom_tests::scenario::{Scenario, Step, Step::*};

const fn key_of(object: u64) -> u64 {
    KEYS[object as usize / 10]
}

/// Objects 0 to 9 have the first key, 10 to 19 the second, and so on.
const KEYS: [u64; 6] = [key(0, 1, 1), key(0, 2, 2), key(0, 1, 3), key(0, 1, 4), key(1, 0, 5), key(1, 0, 6)];

/// A key with these buckets in a table of three; 0 and 1 are the same in a table of two.
const fn key(home: usize, second: usize, tag: u64) -> u64 {
    const HALVES: [u64; 3] = [0x1000_0000, 0x9000_0000, 0xF000_0000];
    (HALVES[home] << 32) | HALVES[second] | tag
}

/// The contended key, and objects of it.
const K: u64 = KEYS[0];
const X: u64 = 0;
const Y: u64 = 1;
const Z: u64 = 2;
/// Another second bucket.
const NEIGHBOUR: u64 = 10;
/// The same set.
const SIBLING: u64 = 20;
const SIBLING_KEY: u64 = key_of(SIBLING);
/// The same set with the buckets in the other order.
const REVERSE: u64 = 40;

const fn scenario(before: &'static [Step], threads: &'static [&'static [Step]]) -> Scenario {
    Scenario { buckets: 2, key_of, before, threads }
}

// Two threads.
const ADD_ADD: Scenario = scenario(&[], &[&[Add(X)], &[Add(Y)]]);
const DIFFERENT_SLOTS: Scenario = scenario(&[Add(SIBLING)], &[&[Take(SIBLING_KEY), Add(X)], &[Add(Y)]]);
const ADD_AGAIN: Scenario = scenario(&[], &[&[Add(X), Take(K), Add(X)], &[Add(Y)]]);
const FULL_SET: Scenario =
    scenario(&[Add(SIBLING), Add(30), Add(REVERSE), Add(50)], &[&[Add(X)], &[Add(Y), Get(K)]]);
const REPLACE_GET: Scenario = scenario(&[Add(X)], &[&[Add(Y), Add(SIBLING)], &[Get(K), Get(K)]]);
const TAKE_ADD_GET: Scenario = scenario(&[Add(X)], &[&[Take(K), Add(Y)], &[Get(K), Get(K)]]);

// Three threads.
const ADD_ADD_ADD: Scenario = scenario(&[], &[&[Add(X)], &[Add(Y)], &[Add(Z)]]);
const ADD_ADD_TAKE: Scenario = scenario(&[], &[&[Add(X)], &[Add(Y)], &[Take(K), Take(K)]]);
const ADD_SAME_TAKE: Scenario = scenario(&[], &[&[Add(X)], &[Add(X)], &[Take(K)]]);
const ADD_SAME_AND_OTHER: Scenario = scenario(&[], &[&[Add(X)], &[Add(X)], &[Add(Y)]]);
const SHARED_HOME: Scenario =
    Scenario { buckets: 3, ..scenario(&[], &[&[Add(X)], &[Add(NEIGHBOUR)], &[Add(Y)]]) };
/// The helper stalls; the slot is claimed again, by the same adder.
const STALE_HELPER: Scenario =
    scenario(&[Add(SIBLING)], &[&[Help(K)], &[Take(SIBLING_KEY), Add(Z)], &[Add(X)]]);
/// As above, but that adder inserts the same object a second time.
const STALE_HELPER_SAME: Scenario = scenario(&[], &[&[Help(K)], &[Add(Y)], &[Add(X), Take(K), Add(X)]]);
/// An adder with an outdated publication word claims the slot that the current one names.
const STALE_CLAIM: Scenario = scenario(&[], &[&[Help(K)], &[Add(Y)], &[Add(X), Take(K)]]);
/// An adder claims the same slot for two homes at the same version.
const TWO_HOMES: Scenario = scenario(
    &[Add(REVERSE), Add(SIBLING), Take(SIBLING_KEY)],
    &[&[Add(X), Take(K), Add(50)], &[Help(K)], &[Add(51)]],
);
const HELP_TAKE: Scenario = scenario(&[], &[&[Add(X)], &[Help(K), Take(K)]]);

/// One test for each scenario, in a module for each candidate: two threads and sets of four slots at bound 3, three
/// threads and sets of two slots at bound 1, or as deep as `LOOM_MAX_PREEMPTIONS` says.
macro_rules! every_scenario {
    ($($module:ident: $four_slots:ty, $two_slots:ty;)*) => {$(
        mod $module {
            use super::*;

            every_scenario! { @ $module $four_slots, 3:
                add_add ADD_ADD,
                different_slots DIFFERENT_SLOTS,
                add_again ADD_AGAIN,
                full_set FULL_SET,
                replace_get REPLACE_GET,
                take_add_get TAKE_ADD_GET,
            }
            every_scenario! { @ $module $two_slots, 1:
                add_add_add ADD_ADD_ADD,
                add_add_take ADD_ADD_TAKE,
                add_same_take ADD_SAME_TAKE,
                add_same_and_other ADD_SAME_AND_OTHER,
                shared_home SHARED_HOME,
                stale_helper STALE_HELPER,
                stale_helper_same STALE_HELPER_SAME,
                stale_claim STALE_CLAIM,
                two_homes TWO_HOMES,
            }
        }
    )*};
    (@ $module:ident $candidate:ty, $bound:literal: $($test:ident $scenario:ident,)*) => {$(
        #[test]
        fn $test() {
            let name = concat!(stringify!($module), "::", stringify!($test));
            check_with($bound, name, || $scenario.run::<$candidate>());
        }
    )*};
}

type Publication<const SLOTS: usize> = PublicationWord<SLOTS, AS_DESCRIBED>;
type Settled<const SLOTS: usize> = PublicationWord<SLOTS, { publication::SETTLED }>;
type Rescan<const SLOTS: usize> = ClaimAndRescan<SLOTS, { rescan::MARKED }>;
type Control<const SLOTS: usize> = ControlWord<SLOTS, AS_DESCRIBED>;

every_scenario! {
    publication_word: Publication<2>, Publication<1>;
    settled_publication_word: Settled<2>, Settled<1>;
    claim_and_rescan: Rescan<2>, Rescan<1>;
    // One bucket is the whole set.
    control_word: Control<2>, Control<2>;
}

const TWO_MEMBERS: &str = "two members of a key";
const NO_ORDER: &str = "no order explains";

fn violates<C: Candidate>(bound: usize, scenario: Scenario, name: &'static str, complaint: &str) {
    expect_violation(bound, name, complaint, move || scenario.run::<C>());
}

/// The owner of a refused claim and the owner of a finished one do the same: X is inserted twice. With two adders, each
/// reports that it replaced the other's object; with a helper that takes, X is taken and there
/// again.
#[test]
fn claim_and_rescan_as_drafted() {
    type Draft<const SLOTS: usize> = ClaimAndRescan<SLOTS, AS_DESCRIBED>;
    violates::<Draft<2>>(3, ADD_ADD, "draft: add_add", "[[Replaced(0, 1)], [Replaced(1, 0)]]");
    violates::<Draft<2>>(
        3,
        HELP_TAKE,
        "draft: help_take",
        "[[Inserted(0)], [Taken(Some(0))]], from None to Some(0)",
    );
    violates::<Draft<1>>(3, ADD_ADD_TAKE, "draft: add_add_take", NO_ORDER);
    violates::<Draft<1>>(3, ADD_ADD_ADD, "draft: add_add_add", NO_ORDER);
}

#[test]
fn claim_and_rescan_mutants() {
    type Mutant<const WITHOUT: u8> = ClaimAndRescan<1, WITHOUT>;
    const NO_FENCE: u8 = rescan::MARKED | rescan::NO_FENCE;
    const NO_NONCE: u8 = rescan::MARKED | rescan::NO_NONCE;
    violates::<Mutant<NO_FENCE>>(3, DIFFERENT_SLOTS, "rescan without a fence", TWO_MEMBERS);
    violates::<Mutant<NO_NONCE>>(4, STALE_HELPER, "rescan without a nonce", TWO_MEMBERS);
}

#[test]
fn publication_word_mutants() {
    use publication::{NO_HELP, NO_PUBLICATION, RELAXED, VERSION_NONCE};
    type Mutant<const WITHOUT: u8> = PublicationWord<1, WITHOUT>;
    violates::<Mutant<NO_HELP>>(3, ADD_ADD, "publication without help", TWO_MEMBERS);
    violates::<Mutant<NO_PUBLICATION>>(3, ADD_ADD, "publication left out", TWO_MEMBERS);
    violates::<Mutant<RELAXED>>(3, ADD_ADD, "publication relaxed", TWO_MEMBERS);
    violates::<Mutant<VERSION_NONCE>>(2, STALE_CLAIM, "publication with the version as nonce", NO_ORDER);
}

#[test]
fn settled_publication_word_mutants() {
    use publication::SETTLED;
    type Mutant<const WITHOUT: u8> = PublicationWord<1, WITHOUT>;
    const NO_HELP: u8 = SETTLED | publication::NO_HELP;
    const RELAXED: u8 = SETTLED | publication::RELAXED;
    const NO_SECOND_LOOK: u8 = SETTLED | publication::NO_SECOND_LOOK;
    violates::<Mutant<NO_HELP>>(3, ADD_ADD, "settled without help", TWO_MEMBERS);
    violates::<Mutant<RELAXED>>(3, ADD_ADD, "settled relaxed", TWO_MEMBERS);
    violates::<Mutant<NO_SECOND_LOOK>>(3, TWO_HOMES, "settled without a second look", TWO_MEMBERS);
}

#[test]
fn control_word_mutants() {
    use control::{NO_RESCAN, NO_SECOND_LOOK};
    violates::<ControlWord<2, NO_RESCAN>>(3, ADD_ADD, "control without a rescan", TWO_MEMBERS);
    violates::<ControlWord<2, NO_SECOND_LOOK>>(3, REPLACE_GET, "control without a second look", NO_ORDER);
}
