//! Running a scenario: an exhaustive search under `sessile_loom`, otherwise many runs on plain threads.
//!
//! A search counts only if it was complete. loom's own limits end a search silently as a success, so they are switched
//! off here, and a search that takes longer than [`SEARCH_SECONDS`] fails. So does one of a single iteration: its
//! threads share nothing that loom can see.

/// Preemptions explored in each execution unless `LOOM_MAX_PREEMPTIONS` says otherwise.
pub const PREEMPTIONS: usize = 3;

/// The longest a search may take.
pub const SEARCH_SECONDS: u64 = 900;

/// Runs of a scenario on plain threads.
pub const RUNS: usize = 2_000;

/// Demands that `scenario` holds in every execution.
///
/// # Panics
/// On the first execution that does not hold, and when the search is not complete.
pub fn check(name: &str, scenario: impl Fn() + Send + Sync + 'static) {
    check_with(PREEMPTIONS, name, scenario);
}

/// As [`check`], with a bound of its own for a scenario that needs a deeper search, or affords only a shallower one.
///
/// # Panics
/// As [`check`].
pub fn check_with(preemptions: usize, name: &str, scenario: impl Fn() + Send + Sync + 'static) {
    mode::check(preemptions, name, scenario);
}

/// Demands that a search with this bound finds an execution that `scenario` rejects, with `complaint` in its message.
/// Plain threads cannot promise to meet that execution: there, nothing is run.
///
/// # Panics
/// When the search ends without one, or takes too long, or finds something else.
pub fn expect_violation(
    preemptions: usize,
    name: &str,
    complaint: &str,
    scenario: impl Fn() + Send + Sync + 'static,
) {
    mode::expect_violation(preemptions, name, complaint, scenario);
}

#[cfg(sessile_loom)]
mod mode {
    use super::SEARCH_SECONDS;
    use std::any::Any;
    use std::cell::Cell;
    use std::panic::{self, AssertUnwindSafe};
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::sync::{Arc, Once};
    use std::time::Instant;

    const BRANCHES: usize = 20_000;

    pub(super) fn check(preemptions: usize, name: &str, scenario: impl Fn() + Send + Sync + 'static) {
        let preemptions = loom::model::Builder::new().preemption_bound.unwrap_or(preemptions);
        let iterations = Arc::new(AtomicUsize::new(0));
        let start = Instant::now();
        search(preemptions, &iterations, scenario);
        report(name, preemptions, &iterations, start, "complete");
        assert!(iterations.load(Relaxed) > 1, "{name}: loom sees nothing that the threads share");
    }

    pub(super) fn expect_violation(
        preemptions: usize,
        name: &str,
        complaint: &str,
        scenario: impl Fn() + Send + Sync + 'static,
    ) {
        let iterations = Arc::new(AtomicUsize::new(0));
        let start = Instant::now();
        let found = quietly(|| search(preemptions, &iterations, scenario));
        report(name, preemptions, &iterations, start, "violated, as expected");
        let message = found.expect_err("every execution holds");
        assert!(message.contains(complaint), "{name}: expected \"{complaint}\", found \"{message}\"");
    }

    fn search(
        preemptions: usize,
        iterations: &Arc<AtomicUsize>,
        scenario: impl Fn() + Send + Sync + 'static,
    ) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(preemptions);
        builder.max_branches = BRANCHES;
        builder.max_duration = None;
        builder.max_permutations = None;
        let iterations = Arc::clone(iterations);
        let start = Instant::now();
        builder.check(move || {
            iterations.fetch_add(1, Relaxed);
            assert!(start.elapsed().as_secs() < SEARCH_SECONDS, "the search is not complete");
            scenario();
        });
    }

    fn report(name: &str, preemptions: usize, iterations: &AtomicUsize, start: Instant, verdict: &str) {
        let (iterations, seconds) = (iterations.load(Relaxed), start.elapsed().as_secs_f64());
        println!("{name:<44} bound {preemptions}  {iterations:>9} iterations  {seconds:>7.2} s  {verdict}");
    }

    thread_local! {
        static QUIET: Cell<bool> = const { Cell::new(false) };
    }

    /// Runs `search` without the panic message on standard error; the message if it panicked.
    fn quietly(search: impl FnOnce()) -> Result<(), String> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let usual = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                // loom runs all threads of a model on the thread of the search.
                if !QUIET.get() {
                    usual(info);
                }
            }));
        });
        QUIET.set(true);
        let result = panic::catch_unwind(AssertUnwindSafe(search));
        QUIET.set(false);
        result.map_err(|payload| message(&*payload))
    }

    fn message(payload: &(dyn Any + Send)) -> String {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("not a message").to_owned()
    }
}

#[cfg(not(sessile_loom))]
mod mode {
    use super::RUNS;
    use std::time::Instant;

    pub(super) fn check(_preemptions: usize, name: &str, scenario: impl Fn() + Send + Sync + 'static) {
        let start = Instant::now();
        for _ in 0..RUNS {
            scenario();
        }
        println!("{name:<44} {RUNS} runs on threads  {:.2} s", start.elapsed().as_secs_f64());
    }

    pub(super) fn expect_violation(
        _preemptions: usize,
        name: &str,
        _complaint: &str,
        _scenario: impl Fn() + Send + Sync + 'static,
    ) {
        println!("{name:<44} needs a model");
    }
}
