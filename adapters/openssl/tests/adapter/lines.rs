//! Lines that a session must not cross: every combination of two contexts, how a connection changes
//! between them, who authenticates where, and how the store is attached, against a written oracle.
//!
//! - `combination`: the combinations, and the oracle that says what may happen in each;
//! - `stage`: the two contexts, their store and its tier, and one visit played on them.

mod combination;
mod stage;

use std::thread;

use self::combination::{Combination, Visit};
use self::stage::{Outcome, Stage, Wardrobe};

const THREADS: usize = 2;

/// What went on in a number of combinations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    tried: usize,
    entered: usize,
    resumed: usize,
    /// Connections with early data of which some were accepted.
    early: usize,
    entered_that_may_not: usize,
    refused_that_may: usize,
    early_more_than_once: usize,
    early_that_may_not: usize,
    early_that_must: usize,
}

impl Tally {
    fn add(self, other: Self) -> Self {
        Self {
            tried: self.tried + other.tried,
            entered: self.entered + other.entered,
            resumed: self.resumed + other.resumed,
            early: self.early + other.early,
            entered_that_may_not: self.entered_that_may_not + other.entered_that_may_not,
            refused_that_may: self.refused_that_may + other.refused_that_may,
            early_more_than_once: self.early_more_than_once + other.early_more_than_once,
            early_that_may_not: self.early_that_may_not + other.early_that_may_not,
            early_that_must: self.early_that_must + other.early_that_must,
        }
    }

    /// What the oracle says to the outcome of one combination.
    fn judge(combination: &Combination, outcome: Outcome) -> Self {
        let Outcome { entered, resumed, early } = outcome;
        let may_enter =
            if resumed { combination.may_resume() } else { combination.may_enter_anew() };
        let is_due = combination.must_resume() && !resumed || combination.must_enter() && !entered;
        let tally = Self {
            tried: 1,
            entered: usize::from(entered),
            resumed: usize::from(entered && resumed),
            early: usize::from(early > 0),
            entered_that_may_not: usize::from(entered && !may_enter),
            refused_that_may: usize::from(is_due),
            early_more_than_once: usize::from(early > 1),
            early_that_may_not: usize::from(early > 0 && !combination.may_send_early()),
            early_that_must: usize::from(early == 0 && combination.must_accept_early()),
        };
        if tally.is_wrong() {
            eprintln!("{combination:?}: {outcome:?}");
        }
        tally
    }

    fn is_wrong(&self) -> bool {
        [
            self.entered_that_may_not,
            self.refused_that_may,
            self.early_more_than_once,
            self.early_that_may_not,
            self.early_that_must,
        ] != [0; 5]
    }
}

#[test]
fn no_combination_of_contexts_lets_a_session_cross() {
    let tally = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    let wardrobe = &Wardrobe::new();
                    let own = Combination::all().skip(thread).step_by(THREADS);
                    own.map(|one| Tally::judge(&one, Stage::new(wardrobe, one).play()))
                        .fold(Tally::default(), Tally::add)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).fold(Tally::default(), Tally::add)
    });
    println!("{tally:#?}");
    assert_eq!(tally.tried, Combination::NUMBER);
    assert!(!tally.is_wrong(), "{tally:#?}");
    assert!(tally.resumed > 1_000 && tally.early > 100, "the test sees something: {tally:#?}");
}

/// An oracle that allows everything would pass any adapter.
#[test]
fn the_oracle_forbids_and_demands() {
    let count = |is: fn(&Combination) -> bool| Combination::all().filter(is).count();
    let offers = count(|one| one.visit != Visit::Full);
    assert_eq!(Combination::all().count(), Combination::NUMBER);
    for share in [
        count(|one| one.visit != Visit::Full && one.may_resume()),
        count(|one| one.visit != Visit::Full && !one.may_resume()),
        count(|one| one.must_resume()),
        count(|one| one.may_enter_anew()),
        count(|one| !one.may_enter_anew()),
    ] {
        assert!(share > offers / 10, "{share} of {offers}");
    }
    assert!(count(|one| one.must_accept_early()) > 200);
}
