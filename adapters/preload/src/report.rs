//! Statistics at the end of the process.
//!
//! A process that is forked off begins with its parent's counts, which it does not report once
//! more.

use std::cell::Cell;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, Weak};

use sessile_openssl::ServerStore;
use sessile_openssl::sessile::MetricKind;

use crate::environment::Environment;
use crate::size::Size;

/// A store whose counters are part of the statistics, also when it is gone.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) store: ServerStore,
    pub(crate) size: Size,
}

/// Sums by name, in the order of their first occurrence.
type Sums = Vec<(&'static str, MetricKind, u64)>;

/// What was counted up to some moment.
struct Counts {
    contexts_attached: u64,
    contexts_left: u64,
    sums: Sums,
}

impl Counts {
    const NONE: Self = Self { contexts_attached: 0, contexts_left: 0, sums: Vec::new() };

    fn add(&mut self, counted: &Counted) {
        for metric in counted.store.status().metrics() {
            let value = match metric.name {
                "capacity" => counted.size.asked() as u64,
                _ => metric.value,
            };
            match self.sums.iter_mut().find(|(name, ..)| *name == metric.name) {
                Some((.., sum)) => *sum = sum.saturating_add(value),
                None => self.sums.push((metric.name, metric.kind, value)),
            }
        }
    }

    /// Takes away what was counted before. What can fall is as it is now.
    fn subtract(&mut self, before: &Self) {
        self.contexts_attached -= before.contexts_attached;
        self.contexts_left -= before.contexts_left;
        for (name, kind, sum) in &mut self.sums {
            let before = before.sums.iter().find(|(other, ..)| other == name);
            if let Some((.., value)) = before.filter(|_| *kind == MetricKind::Counter) {
                *sum = sum.saturating_sub(*value);
            }
        }
    }
}

struct Books {
    living: Vec<Weak<Counted>>,
    /// All that is counted here, and what stores had counted that are gone.
    gone: Counts,
    /// What the parent had counted when this process was forked off.
    inherited: Counts,
}

static BOOKS: Mutex<Books> =
    Mutex::new(Books { living: Vec::new(), gone: Counts::NONE, inherited: Counts::NONE });

fn books() -> MutexGuard<'static, Books> {
    BOOKS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Books {
    /// The stores that are in use. The last handle of one must not be dropped in here: it counts
    /// what it had counted.
    fn in_use(&self) -> Vec<Arc<Counted>> {
        self.living.iter().filter_map(Weak::upgrade).collect()
    }

    /// What was counted up to now.
    fn counts(&self, in_use: &[Arc<Counted>]) -> Counts {
        let mut counts = Counts { sums: self.gone.sums.clone(), ..self.gone };
        in_use.iter().for_each(|store| counts.add(store));
        counts
    }
}

impl Counted {
    pub(crate) fn new(store: ServerStore, size: Size) -> Arc<Self> {
        let counted = Arc::new(Self { store, size });
        let mut books = books();
        books.living.retain(|one| one.strong_count() > 0);
        books.living.push(Arc::downgrade(&counted));
        counted
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        books().gone.add(self);
    }
}

/// A context was attached, or was found to be none of ours.
pub(crate) fn count_context(is_attached: bool) {
    static AT_EXIT: Once = Once::new();
    if Environment::get().statistics.is_some() {
        // SAFETY: functions without arguments that stay where they are. Without room for them
        // there are no statistics, or a child repeats its parent's.
        AT_EXIT.call_once(|| unsafe {
            let _is_refused = libc::atexit(at_exit);
            let _error = libc::pthread_atfork(Some(before_fork), Some(in_parent), Some(in_child));
        });
    }
    let mut books = books();
    match is_attached {
        true => books.gone.contexts_attached += 1,
        false => books.gone.contexts_left += 1,
    }
}

/// What a thread that forks holds meanwhile, so that the child does not begin with books that
/// another thread has locked.
struct Fork {
    books: MutexGuard<'static, Books>,
    counts: Counts,
    /// Dropped when the books are free again.
    _in_use: Vec<Arc<Counted>>,
}

thread_local! {
    static FORK: Cell<Option<Fork>> = const { Cell::new(None) };
}

unsafe extern "C" fn before_fork() {
    // Without counts from before, the child repeats its parent's.
    let _ = catch_unwind(|| {
        let books = books();
        let in_use = books.in_use();
        let counts = books.counts(&in_use);
        FORK.try_with(|fork| fork.set(Some(Fork { books, counts, _in_use: in_use })))
    });
}

unsafe extern "C" fn in_parent() {
    let _ = catch_unwind(|| FORK.try_with(Cell::take).map(drop));
}

unsafe extern "C" fn in_child() {
    let _ = catch_unwind(|| {
        if let Ok(Some(mut fork)) = FORK.try_with(Cell::take) {
            fork.books.inherited = fork.counts;
        }
    });
}

extern "C" fn at_exit() {
    // Nobody can be told of a panic, or of a file that cannot be written.
    let _ = catch_unwind(|| {
        let line = line();
        match Environment::get().statistics.as_deref() {
            Some(place) if place != "1" => {
                let file = OpenOptions::new().create(true).append(true).open(place);
                let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
            }
            _ => {
                let _ = io::stderr().write_all(line.as_bytes());
            }
        }
    });
}

/// One line, in one write: processes may share the place.
fn line() -> String {
    let (counts, in_use) = {
        let books = books();
        let in_use = books.in_use();
        let mut counts = books.counts(&in_use);
        counts.subtract(&books.inherited);
        (counts, in_use)
    };
    // A store that were dropped here would count itself once more.
    std::mem::forget(in_use);
    let Counts { contexts_attached: attached, contexts_left: left, sums } = counts;
    let pid = std::process::id();
    let mut line = format!("sessile: pid={pid} contexts_attached={attached} contexts_left={left}");
    // What is 0 is left out.
    for (name, _, sum) in sums.into_iter().filter(|(.., sum)| *sum > 0) {
        let _ = write!(line, " {name}={sum}");
    }
    line.push('\n');
    line
}
