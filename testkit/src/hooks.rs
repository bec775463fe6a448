//! Hooks that are logged, and hooks that use their own cache.
#![forbid(unsafe_code)]

use sessile::{RemovalCause, Session, SessionCache};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// What the removal hook was told.
#[derive(Clone, Debug, Default)]
pub struct Removals(Arc<Mutex<Vec<(u64, RemovalCause)>>>);

impl Removals {
    /// A hook that logs here.
    pub fn hook(&self) -> impl Fn(&Session<u64>, RemovalCause) + Send + Sync + use<> {
        let removals = self.clone();
        move |session, cause| removals.push(**session, cause)
    }

    /// Logs one removal.
    pub fn push(&self, number: u64, cause: RemovalCause) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((number, cause));
    }

    /// What was told since the last call.
    pub fn take(&self) -> Vec<(u64, RemovalCause)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A cache by the name that its own hooks and clock know it by. Weak, so that the two do not keep
/// each other.
pub struct Own<T: Send + Sync + 'static = u64>(Arc<OnceLock<Weak<SessionCache<T>>>>);

impl<T: Send + Sync + 'static> Own<T> {
    /// The cache.
    ///
    /// # Panics
    /// When it is not built yet, or gone.
    pub fn cache(&self) -> Arc<SessionCache<T>> {
        self.0.get().and_then(Weak::upgrade).expect("the cache is built and in use")
    }

    /// Names the cache.
    ///
    /// # Panics
    /// When one was named before.
    pub fn is(&self, cache: SessionCache<T>) -> Arc<SessionCache<T>> {
        let cache = Arc::new(cache);
        assert!(self.0.set(Arc::downgrade(&cache)).is_ok(), "named once");
        cache
    }
}

impl<T: Send + Sync + 'static> Default for Own<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Send + Sync + 'static> Clone for Own<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for Own<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Own")
    }
}
