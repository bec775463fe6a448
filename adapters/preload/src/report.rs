//! Statistics at the end of the process.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, Weak};

use sessile_openssl::ServerStore;

use crate::environment::Environment;

/// A store whose counters are part of the statistics, also when it is gone.
#[derive(Debug)]
pub(crate) struct Counted(pub(crate) ServerStore);

/// Sums by name, in the order of their first occurrence.
type Sums = Vec<(&'static str, u64)>;

struct Books {
    living: Vec<Weak<Counted>>,
    gone: Sums,
    contexts_attached: u64,
    contexts_left: u64,
}

static BOOKS: Mutex<Books> = Mutex::new(Books {
    living: Vec::new(),
    gone: Vec::new(),
    contexts_attached: 0,
    contexts_left: 0,
});

fn books() -> MutexGuard<'static, Books> {
    BOOKS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Counted {
    pub(crate) fn new(store: ServerStore) -> Arc<Self> {
        let counted = Arc::new(Self(store));
        let mut books = books();
        books.living.retain(|one| one.strong_count() > 0);
        books.living.push(Arc::downgrade(&counted));
        counted
    }

    fn add_to(&self, sums: &mut Sums) {
        for metric in self.0.status().metrics() {
            match sums.iter_mut().find(|(name, _)| *name == metric.name) {
                Some((_, sum)) => *sum += metric.value,
                None => sums.push((metric.name, metric.value)),
            }
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.add_to(&mut books().gone);
    }
}

/// A context was attached, or was found to be none of ours.
pub(crate) fn count_context(is_attached: bool) {
    static AT_EXIT: Once = Once::new();
    if Environment::get().statistics.is_some() {
        // SAFETY: a function without arguments that stays where it is. Without room for it there
        // are no statistics.
        AT_EXIT.call_once(|| unsafe {
            let _is_refused = libc::atexit(at_exit);
        });
    }
    let mut books = books();
    match is_attached {
        true => books.contexts_attached += 1,
        false => books.contexts_left += 1,
    }
}

extern "C" fn at_exit() {
    // Nobody can be told of a panic, or of a file that cannot be written.
    let _ = std::panic::catch_unwind(|| {
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
    let (living, mut sums, attached, left) = {
        let books = books();
        let living: Vec<_> = books.living.iter().filter_map(Weak::upgrade).collect();
        (living, books.gone.clone(), books.contexts_attached, books.contexts_left)
    };
    living.iter().for_each(|store| store.add_to(&mut sums));
    // A store that were dropped here would count itself once more.
    std::mem::forget(living);
    let pid = std::process::id();
    let mut line = format!("sessile: pid={pid} contexts_attached={attached} contexts_left={left}");
    // What is 0 is left out.
    for (name, sum) in sums.into_iter().filter(|(_, sum)| *sum > 0) {
        let _ = write!(line, " {name}={sum}");
    }
    line.push('\n');
    line
}
