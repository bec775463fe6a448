//! Atomics and threads of the models: loom's under `sessile_loom`, else the standard library's.
//!
//! loom 0.7 looks for races with the *last* access to an atomic only. A thread that loads a word before it writes it
//! thereby hides every earlier load of another thread: a search with a scan-then-exchange writer and a reader can end
//! after one iteration (tokio-rs/loom issues 166 and 392). [`Watched`] makes those races visible: beside each word are
//! marks, one for each thread, that a load of that thread touches and a write of any other thread touches. The marks
//! carry no data and order nothing; the access and its touches are one step of the search.

#[cfg(sessile_loom)]
pub use loom::{
    sync::atomic::{AtomicU64, Ordering, fence},
    thread,
};
#[cfg(not(sessile_loom))]
pub use std::{
    sync::atomic::{AtomicU64, Ordering, fence},
    thread,
};

/// A 64-bit word that a model sees all races of, and whose newest value can be read without taking part in the model.
#[derive(Debug)]
pub struct Watched {
    word: AtomicU64,
    #[cfg(sessile_loom)]
    marks: marks::Marks,
    #[cfg(sessile_loom)]
    newest: std::sync::atomic::AtomicU64,
}

impl Watched {
    /// A word with this value.
    pub fn new(value: u64) -> Self {
        Self {
            word: AtomicU64::new(value),
            #[cfg(sessile_loom)]
            marks: marks::Marks::new(),
            #[cfg(sessile_loom)]
            newest: std::sync::atomic::AtomicU64::new(value),
        }
    }

    /// An atomic load.
    #[inline]
    pub fn load(&self, ordering: Ordering) -> u64 {
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

    /// A compare-and-exchange that acquires on failure.
    ///
    /// # Errors
    /// The value found instead of `from`.
    #[inline]
    pub fn exchange(&self, from: u64, to: u64, success: Ordering) -> Result<(), u64> {
        #[cfg(sessile_loom)]
        let _step = self.marks.write();
        self.word.compare_exchange(from, to, success, Ordering::Acquire)?;
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

#[cfg(sessile_loom)]
mod marks {
    use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::array;
    use std::sync::atomic::AtomicUsize;

    /// Threads of a model, the first included.
    const SEATS: usize = 4;

    loom::lazy_static! {
        static ref SEATED: AtomicUsize = AtomicUsize::new(0);
    }

    loom::thread_local! {
        static SEAT: usize = SEATED.fetch_add(1, Relaxed);
    }

    fn seat() -> usize {
        SEAT.with(|seat| *seat)
    }

    #[derive(Debug)]
    pub(super) struct Marks([AtomicU64; SEATS]);

    /// Part of a step that has begun: loom does not look for other orders until it ends.
    pub(super) struct Step(());

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

    impl Marks {
        pub(super) fn new() -> Self {
            // Seats the thread that builds the model first: no other thread may be ordered by the counter.
            assert!(seat() < SEATS, "too many threads for the marks");
            Self(array::from_fn(|_| AtomicU64::new(0)))
        }

        pub(super) fn after_load(&self) {
            let mark = &self.0[seat()];
            let _step = Step::begin();
            mark.fetch_add(1, Relaxed);
        }

        pub(super) fn write(&self) -> Step {
            let own = seat();
            let mut others = self.0.iter().enumerate().filter(|&(seat, _)| seat != own).map(|(_, mark)| mark);
            // Other orders are looked for at the first touch.
            if let Some(mark) = others.next() {
                mark.fetch_add(1, Relaxed);
            }
            let step = Step::begin();
            others.for_each(|mark| {
                mark.fetch_add(1, Relaxed);
            });
            step
        }
    }
}
