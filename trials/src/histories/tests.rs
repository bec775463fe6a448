//! The corruptions, against recorded histories.

use super::inject::{self, KINDS};
use super::plan::Plan;
use super::record::record;
use super::stamp::Stopwatch;
use super::{Figures, MANY};
use crate::Report as _;
use std::collections::BTreeMap;
use testkit::histories::verify;

#[test]
fn every_corruption_of_a_recorded_history_is_found() {
    let watch = Stopwatch::new().unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let mut found = [0; KINDS.len()];
    // Most kinds need operations that overlap in time.
    for batch in 0..400 {
        if batch >= 16 && found.iter().all(|&found| found > 0) {
            break;
        }
        let plan = Plan::random(&mut random, 2 + batch % 4);
        for history in record(plan, batch as u64, 0, 32, watch).unwrap().histories {
            verify(&history, watch.margin()).unwrap_or_else(|violation| panic!("{violation}"));
            for (kind, found) in KINDS.iter().zip(&mut found) {
                if let Some(is_found) = inject::try_one(&history, kind, &mut random, watch.margin())
                {
                    assert!(is_found, "\"{}\" is not found", kind.name);
                    *found += 1;
                }
            }
        }
    }
    let never: Vec<_> = KINDS
        .iter()
        .zip(found)
        .filter(|(_, found)| *found == 0)
        .map(|(kind, _)| kind.name)
        .collect();
    assert!(never.is_empty(), "no occasion for {never:?}");
}

#[test]
fn too_few_a_violation_and_a_blind_checker_fail() {
    let kinds: BTreeMap<_, _> = KINDS.iter().map(|kind| (kind.name, 1)).collect();
    let holds = |checked, violations, injected_found, injected_by_kind| {
        let (wanted, injected) = (MANY, 5);
        let figures = Figures {
            checked,
            wanted,
            violations,
            injected,
            injected_found,
            injected_by_kind,
            ..Figures::default()
        };
        figures.verdict().is_ok()
    };
    assert!(holds(MANY, 0, 5, kinds.clone()));
    assert!(!holds(MANY - 1, 0, 5, kinds.clone()));
    assert!(!holds(MANY, 1, 5, kinds.clone()));
    assert!(!holds(MANY, 0, 4, kinds));
    assert!(!holds(MANY, 0, 5, BTreeMap::new()), "no kind was tried");
}
