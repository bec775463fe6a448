//! How the models run.
//!
//! A scenario is a plain function that starts a few threads on the public API and asserts what must
//! hold. [`Model`] runs it: under the private cfg `sessile_loom` loom explores every schedule up to
//! a preemption bound; without it the same function runs a few thousand times on real threads, so
//! that no build ever counts a scenario it did not run.
//!
//! An incomplete search fails. loom ends a search silently, and as a pass, when its own limits of
//! time or permutations are reached, so neither is used; [`Model`] counts and panics instead. A
//! search of a single schedule fails as well.

#![forbid(unsafe_code)]

mod model;
mod search;
mod test_cache;
pub mod thread;

pub use loom_tests_macros::model;
pub use model::Model;
pub use search::Searched;
pub use test_cache::{TestCache, replaced};
pub use testkit::id_of_byte as id;
pub use thread::spawn_with;

use sessile::{Mode, SessionCache, SessionCacheBuilder};
use std::sync::Arc;

/// The registry of threads. Tracked only by models in which one thread accesses another thread's
/// state: those that collect, and those on real crossbeam-epoch.
pub const REGISTRY: &str = "src/reclaim/registry.rs";

/// Each thread's counters, which only models are about that count beside others.
pub const COUNTERS: &str = "src/sync/single_writer.rs";

/// What a limbo told the total of, which only a model is about that tells it from two threads.
pub const PUBLISHED: &str = "src/reclaim/published_bytes.rs";

/// The permits, which only models are about that count beside others.
pub const PERMITS: &str = "src/cache/budget/permits.rs";

/// The weights, likewise.
pub const WEIGHTS: &str = "src/cache/budget/bytes.rs";

/// Mode and hooks, which only models are about that change them.
pub const SETTINGS: &str = "src/settings.rs";

/// Builds a cache that does nothing on the side: a model's schedules are spent on what it is about.
pub fn quiet<T: Send + Sync + 'static>() -> SessionCacheBuilder<T> {
    SessionCache::builder().mode(Mode { auto_flush: false, ..Mode::default() })
}

/// A quiet cache for so many sessions.
pub fn cache<T: Send + Sync + 'static>(capacity: usize) -> Arc<SessionCache<T>> {
    Arc::new(quiet().capacity(capacity).build().expect("a valid capacity"))
}
