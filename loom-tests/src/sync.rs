//! Atomics of the models: loom's under `sessile_loom`, else the standard library's.
//!
//! A [`Watched`] word carries the same marks as the atomics of the crate do in a model, so that the search sees every race.

#[cfg(sessile_loom)]
pub use loom::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(not(sessile_loom))]
pub use std::sync::atomic::{AtomicU64, Ordering, fence};

/// What one thread did to words, under the private cfg `sessile_counts`.
#[cfg(sessile_counts)]
pub mod counted {
    use std::cell::RefCell;

    /// Accesses since the last time that somebody asked.
    #[derive(Debug, Default)]
    pub struct Counts {
        /// Loads.
        pub loads: usize,
        /// Exchanges: locked instructions.
        pub exchanges: usize,
        /// The cache lines they were on.
        pub lines: Vec<usize>,
    }

    thread_local! {
        static COUNTS: RefCell<Counts> = RefCell::default();
    }

    pub(super) fn note<T>(word: &T, exchanges: usize) {
        COUNTS.with_borrow_mut(|counts| {
            counts.exchanges += exchanges;
            counts.loads += 1 - exchanges;
            let line = std::ptr::from_ref(word).addr() / 64;
            if !counts.lines.contains(&line) {
                counts.lines.push(line);
            }
        });
    }

    /// The counts of this thread, which begin anew.
    pub fn take() -> Counts {
        COUNTS.take()
    }
}

/// A 64-bit word that a model sees all races of, and whose newest value can be read without taking part in the model.
#[derive(Debug)]
pub struct Watched {
    word: AtomicU64,
    #[cfg(sessile_loom)]
    marks: sessile::internals::Marks,
    #[cfg(sessile_loom)]
    newest: std::sync::atomic::AtomicU64,
}

impl Watched {
    /// A word with this value.
    pub fn new(value: u64) -> Self {
        Self {
            word: AtomicU64::new(value),
            #[cfg(sessile_loom)]
            marks: sessile::internals::Marks::new(),
            #[cfg(sessile_loom)]
            newest: std::sync::atomic::AtomicU64::new(value),
        }
    }

    /// An atomic load.
    #[inline]
    pub fn load(&self, ordering: Ordering) -> u64 {
        #[cfg(sessile_counts)]
        counted::note(self, 0);
        let value = self.word.load(ordering);
        #[cfg(sessile_loom)]
        self.marks.after_load();
        value
    }

    /// An atomic store.
    #[inline]
    pub fn store(&self, value: u64, ordering: Ordering) {
        #[cfg(sessile_loom)]
        let _step = self.marks.write();
        self.word.store(value, ordering);
        self.note(value);
    }

    /// A compare-and-exchange.
    ///
    /// # Errors
    /// The value found instead of `from`.
    #[inline]
    pub fn exchange(&self, from: u64, to: u64, success: Ordering, failure: Ordering) -> Result<(), u64> {
        #[cfg(sessile_loom)]
        let _step = self.marks.write();
        #[cfg(sessile_counts)]
        counted::note(self, 1);
        self.word.compare_exchange(from, to, success, failure)?;
        self.note(to);
        Ok(())
    }

    /// The newest value, whatever the calling thread is entitled to see. Exact in a model and at rest.
    pub fn newest(&self) -> u64 {
        #[cfg(sessile_loom)]
        return self.newest.load(Ordering::Relaxed);
        #[cfg(not(sessile_loom))]
        self.word.load(Ordering::Relaxed)
    }

    /// loom switches threads before an atomic operation, never after it: the copy changes together with the word.
    #[inline]
    fn note(&self, _value: u64) {
        #[cfg(sessile_loom)]
        self.newest.store(_value, Ordering::Relaxed);
    }
}
