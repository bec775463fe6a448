//! More than a capacity for a server's store.
#![forbid(unsafe_code)]

use std::time::Duration;

use sessile::{BuildError, Capacity, Secret, SessionCache, SessionCacheBuilder};

use crate::server::ServerStore;

/// Builds a [`ServerStore`]: [`ServerStore::builder`].
///
/// ```
/// # fn main() -> Result<(), sessile::BuildError> {
/// use sessile_rustls::ServerStore;
/// use sessile::Policy;
/// use std::time::Duration;
///
/// let store = ServerStore::builder()
///     .capacity(100_000)
///     .timeout(Duration::from_secs(600))
///     .cache(|cache| cache.policy(Policy::SoonestExpiry))
///     .build()?;
/// assert_eq!(store.cache().timeout(), Duration::from_secs(600));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use]
pub struct ServerStoreBuilder {
    cache: SessionCacheBuilder<Secret>,
}

impl ServerStoreBuilder {
    pub(crate) fn new() -> Self {
        Self { cache: SessionCache::builder() }
    }

    /// The largest number of sessions; 20 480 unless set.
    pub fn capacity(self, capacity: impl Into<Capacity>) -> Self {
        self.cache(|cache| cache.capacity(capacity))
    }

    /// How long a session may be resumed; two hours unless set.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.cache(|cache| cache.timeout(timeout))
    }

    /// Whatever else a cache has: policy, weigher, hooks, mode.
    pub fn cache(
        mut self,
        change: impl FnOnce(SessionCacheBuilder<Secret>) -> SessionCacheBuilder<Secret>,
    ) -> Self {
        self.cache = change(self.cache);
        self
    }

    /// Builds the store.
    ///
    /// # Errors
    ///
    /// Those of [`SessionCacheBuilder::build`].
    pub fn build(self) -> Result<ServerStore, BuildError> {
        ServerStore::build(self.cache)
    }
}
