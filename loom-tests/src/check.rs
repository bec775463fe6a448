//! Searches of what is not the cache: protocols that could be, and their mutants. Those of the cache are [`Model`](crate::Model)s.

use crate::search::{Plan, run, run_quietly};

/// Demands that `scenario` holds in every execution with this many preemptions, or as many as `LOOM_MAX_PREEMPTIONS` says.
///
/// # Panics
/// On the first execution that does not hold, and when the search is incomplete or of a single schedule.
pub fn check_with(preemptions: usize, name: &'static str, scenario: impl Fn() + Send + Sync + 'static) {
    let searched = run(Plan::new(name, preemptions), scenario);
    let (bound, schedules, seconds) = (searched.bound(), searched.schedules, searched.seconds);
    println!("\n{name:<44} bound {bound}  {schedules:>9} schedules  {seconds:>7.2} s  complete");
}

/// Demands that a search with this bound finds an execution that `scenario` rejects, with `complaint` in its message.
/// Plain threads cannot promise to meet that execution: there, nothing is run.
///
/// # Panics
/// When the search ends without one, is incomplete, or finds something else.
pub fn expect_violation(
    preemptions: usize,
    name: &'static str,
    complaint: &str,
    scenario: impl Fn() + Send + Sync + 'static,
) {
    let found = run_quietly(Plan::new(name, preemptions), scenario);
    let message = found.expect_err("every execution holds");
    if cfg!(sessile_loom) {
        assert!(message.contains(complaint), "{name}: expected \"{complaint}\", found \"{message}\"");
    }
    println!("\n{name:<44} violated, as expected");
}
