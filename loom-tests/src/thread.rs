//! The threads of a scenario: loom's in a model.

#[cfg(sessile_loom)]
pub use loom::thread::{JoinHandle, yield_now};
#[cfg(not(sessile_loom))]
pub use std::thread::{JoinHandle, spawn, yield_now};

/// Spawns a thread of the model, whose failure ends the search.
#[cfg(sessile_loom)]
pub fn spawn<R: 'static>(f: impl FnOnce() -> R + Send + 'static) -> JoinHandle<R> {
    loom::thread::spawn(move || {
        let _end = crate::search::End;
        f()
    })
}
