//! The corruptions, against recorded histories.

use super::explain::verify;
use super::inject::{self, KINDS};
use super::plan::Plan;
use super::record::record;
use super::stamp::Stopwatch;

#[test]
fn every_corruption_of_a_recorded_history_is_found() {
    let watch = Stopwatch::new().unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let mut found = [0; KINDS.len()];
    for batch in 0..16 {
        let plan = Plan::random(&mut random, 2 + batch % 4);
        for history in record(plan, batch as u64, 0, 32, watch).unwrap() {
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
