//! The threads of a scenario, and a word that they share: loom's in a model.

use std::sync::Arc;

#[cfg(sessile_loom)]
pub use loom::sync::atomic::AtomicBool;
#[cfg(sessile_loom)]
pub use loom::thread::{JoinHandle, yield_now};
#[cfg(not(sessile_loom))]
pub use std::sync::atomic::AtomicBool;
#[cfg(not(sessile_loom))]
pub use std::thread::{JoinHandle, spawn, yield_now};

/// Spawns a thread of the model, whose failure ends the search. As with loom, `f` need not be
/// `Send`: loom's cells are not `Sync`.
#[cfg(sessile_loom)]
pub fn spawn<R: 'static>(f: impl FnOnce() -> R + 'static) -> JoinHandle<R> {
    loom::thread::spawn(move || {
        let _end = crate::search::End;
        f()
    })
}

/// Spawns a thread of the model that shares what another has.
pub fn spawn_with<S: Send + Sync + 'static, R: Send + 'static>(
    shared: &Arc<S>,
    f: impl FnOnce(Arc<S>) -> R + Send + 'static,
) -> JoinHandle<R> {
    let shared = Arc::clone(shared);
    spawn(move || f(shared))
}
