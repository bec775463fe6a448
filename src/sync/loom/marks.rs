//! Marks beside a word, so that a search sees every race on it.
//!
//! loom 0.7 looks for races with the *last* access to an atomic only. A thread that loads a word
//! before it writes it thereby hides every earlier load of another thread, and a search can end far
//! too soon (tokio-rs/loom issues 166 and 392). A mark is touched by each load of one thread and by
//! each write of the others: now the write and the earlier load meet at the mark. Marks carry no
//! data and order nothing that the word does not; an access and its touches are one step of the
//! search.

use crate::sync::search;
use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::array;
use std::sync::atomic::AtomicU64 as Counter;
use std::sync::{Mutex, PoisonError};

/// Threads of a model, the first included.
const SEATS: usize = 4;

/// The marks of one word, one for each thread that touches it.
#[derive(Debug)]
pub struct Marks {
    marks: [AtomicU64; SEATS],
    /// The mark of threads whose thread-local storage is being torn down: nobody can tell which
    /// they are.
    leaving: AtomicU64,
    /// Who has which mark. Invisible to loom: it must not order the threads.
    seated: Mutex<Vec<u64>>,
}

static THREADS: Counter = Counter::new(0);

loom::thread_local! {
    static THREAD: u64 = THREADS.fetch_add(1, Relaxed);
}

/// Part of a step that has begun: loom does not look for other orders until it ends.
#[derive(Debug)]
pub struct Step(());

impl Step {
    fn begin() -> Self {
        loom::stop_exploring();
        Self(())
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        loom::explore();
    }
}

impl Default for Marks {
    fn default() -> Self {
        Self::new()
    }
}

impl Marks {
    /// Marks that nobody has touched.
    pub fn new() -> Self {
        // Whoever makes a word is in a search of ours, whose runner counts and bounds it.
        let _ = search::switches();
        let mark = || AtomicU64::new(0);
        Self { marks: array::from_fn(|_| mark()), leaving: mark(), seated: Mutex::default() }
    }

    /// The mark of this thread, unless it is leaving.
    fn seat(&self) -> Option<usize> {
        let thread = THREAD.try_with(|thread| *thread).ok()?;
        let mut seated = self.seated.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seated.iter().position(|&known| known == thread);
        Some(known.unwrap_or_else(|| {
            seated.push(thread);
            assert!(seated.len() <= SEATS, "too many threads for the marks");
            seated.len() - 1
        }))
    }

    /// Touches the own mark; follows a load.
    pub fn after_load(&self) {
        let mark = self.seat().map_or(&self.leaving, |seat| &self.marks[seat]);
        let _step = Step::begin();
        mark.fetch_add(1, Relaxed);
    }

    /// Touches the marks of all others; the write follows before the step is dropped.
    pub fn write(&self) -> Step {
        let own = self.seat();
        let others = self.marks.iter().enumerate().filter(|&(seat, _)| Some(seat) != own);
        // Other orders are looked for at the first touch.
        self.leaving.fetch_add(1, Relaxed);
        let step = Step::begin();
        others.for_each(|(_, mark)| {
            mark.fetch_add(1, Relaxed);
        });
        step
    }
}
