//! The one place where a scenario is run: a complete search under `sessile_loom`, otherwise many
//! runs on plain threads.
//!
//! A search has its switches and its record to itself (`sessile::internals::Search`): the test
//! runner may run as many at a time as it likes. A word of the cache that is made outside of a
//! search panics, so no scenario can be run by other means.
//!
//! A scenario that fails ends its own search and no other's, and its first message is the one that
//! is shown.
//!
//! A search counts only if it was complete. loom's own limits end a search silently as a success,
//! so they are switched off here, and one of more than `SCHEDULES_MAX` schedules fails. So does one
//! of a single schedule, unless its model says why there is but one: otherwise its threads share
//! nothing that loom can see.

#[cfg(not(sessile_loom))]
pub(crate) use self::threads::{End, run};
#[cfg(sessile_loom)]
pub(crate) use self::whole::{End, run};

/// More schedules than this count as an incomplete search.
#[cfg(sessile_loom)]
const SCHEDULES_MAX: usize = 20_000_000;

/// Runs on plain threads.
#[cfg(not(sessile_loom))]
const RUNS: usize = 2_000;

/// What a search came to that held in every schedule.
#[derive(Debug)]
pub struct Searched {
    /// The preemption bound; plain threads have none.
    pub bound: Option<usize>,
    /// Schedules, or runs.
    pub schedules: usize,
    /// How long it took.
    pub seconds: f64,
    /// The atomic operations that were executed, if they are recorded.
    pub sites: Vec<String>,
}

impl Searched {
    /// The bound in words.
    pub(crate) fn bound(&self) -> String {
        self.bound.map_or_else(|| "threads".into(), |bound| bound.to_string())
    }
}

#[cfg(sessile_loom)]
mod whole {
    use super::{SCHEDULES_MAX, Searched};
    use crate::Model;
    use sessile::internals::{Search, Switches};
    use std::cell::RefCell;
    use std::io::Write;
    use std::panic::{self, PanicHookInfo};
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::sync::mpsc::{Sender, channel};
    use std::sync::{Arc, Once};
    use std::thread;
    use std::time::Instant;

    const BRANCHES: usize = 20_000;

    /// Searches all schedules.
    ///
    /// # Panics
    /// When one does not hold, with what it said, and when the search is incomplete or of a single
    /// schedule.
    pub(crate) fn run(model: Model, scenario: impl Fn() + Send + Sync + 'static) -> Searched {
        let searched = search(model, scenario);
        // The message is printed already.
        let searched = searched.unwrap_or_else(|message| panic::resume_unwind(Box::new(message)));
        match (searched.schedules, model.single) {
            (0..=1, None) => {
                panic!(
                    "{}: a single schedule: loom sees nothing that the threads share",
                    model.name
                )
            }
            (2.., Some(reason)) => {
                panic!(
                    "{}: {} schedules, not a single one because {reason}",
                    model.name, searched.schedules
                )
            }
            _ => searched,
        }
    }

    /// Searches on a thread of its own, on which loom runs all threads of the model.
    fn search(
        model: Model,
        scenario: impl Fn() + Send + Sync + 'static,
    ) -> Result<Searched, String> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let usual = panic::take_hook();
            panic::set_hook(Box::new(move |info| note(info, &*usual)));
        });
        let (failures, outcome) = channel();
        let search = move || {
            let held = failures.clone();
            WATCH.set(Some(Watch { name: model.name, failures, failure: None }));
            let _end = End;
            // Nobody waits for it if the test has ended.
            let _ = held.send(Ok(explore(model, scenario)));
        };
        thread::Builder::new().name(model.name.into()).spawn(search).expect("a thread");
        outcome.recv().expect("an outcome of the search")
    }

    fn explore(model: Model, scenario: impl Fn() + Send + Sync + 'static) -> Searched {
        let search = Search::begin(Switches { real_epoch: model.real_epoch, seen: model.seen });
        let mut builder = loom::model::Builder::new();
        let is_night = std::env::var_os("SESSILE_NIGHT").is_some();
        let bound = if is_night { model.night } else { model.preemptions };
        let bound = *builder.preemption_bound.get_or_insert(bound);
        builder.max_duration = None;
        builder.max_permutations = None;
        builder.max_branches = BRANCHES;
        let schedules = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&schedules);
        let start = Instant::now();
        builder.check(move || {
            let count = counter.fetch_add(1, SeqCst);
            assert!(count < SCHEDULES_MAX, "the search is incomplete after {count} schedules");
            let _end = End;
            scenario();
        });
        let (schedules, seconds) = (schedules.load(SeqCst), start.elapsed().as_secs_f64());
        Searched { bound: Some(bound), schedules, seconds, sites: search.sites() }
    }

    /// The search on this thread.
    struct Watch {
        name: &'static str,
        failures: Sender<Result<Searched, String>>,
        /// What its first panic said.
        failure: Option<String>,
    }

    thread_local! {
        static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };
    }

    /// Notes the first panic of a search, and shows it past the test runner, whose capture is lost
    /// when the process is brought down.
    fn note(info: &PanicHookInfo<'_>, usual: &dyn Fn(&PanicHookInfo<'_>)) {
        let payload = info.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str);
        // Threads of a model that have ended are unwound with a payload of another type.
        let message = text.or_else(|| payload.downcast_ref::<&str>().copied());
        WATCH.with_borrow_mut(|watch| {
            if let (Some(watch), Some(message)) = (watch, message) {
                if watch.failure.is_none() {
                    // Nobody can be told that it cannot be written.
                    let _ = writeln!(std::io::stderr(), "model {} fails: {info}", watch.name);
                }
                watch.failure.get_or_insert_with(|| message.into());
            }
        });
        usual(info);
    }

    /// The end of a search that has failed: dropped by its unwinding, it reports the failure and
    /// leaves the thread where it stands. Unwound further, a model drops what only a running search
    /// may touch, and panics again, which brings down the process and the other searches in it.
    #[derive(Clone, Debug)]
    pub(crate) struct End;

    impl Drop for End {
        fn drop(&mut self) {
            let has_failed = |watch: &Watch| watch.failure.is_some();
            if !thread::panicking()
                || !WATCH.with_borrow(|watch| watch.as_ref().is_some_and(has_failed))
            {
                return;
            }
            if let Some(Watch { failures, failure: Some(message), .. }) = WATCH.take() {
                // Nobody waits for it if the test has ended.
                let _ = failures.send(Err(message));
            }
            loop {
                thread::park();
            }
        }
    }
}

#[cfg(not(sessile_loom))]
mod threads {
    use super::{RUNS, Searched};
    use crate::Model;
    use std::time::Instant;

    /// Threads that fail end by themselves.
    #[derive(Clone, Debug)]
    pub(crate) struct End;

    pub(crate) fn run(_model: Model, scenario: impl Fn() + Send + Sync + 'static) -> Searched {
        let start = Instant::now();
        (0..RUNS).for_each(|_| scenario());
        Searched {
            bound: None,
            schedules: RUNS,
            seconds: start.elapsed().as_secs_f64(),
            sites: Vec::new(),
        }
    }
}
