//! More than a capacity for a client's store.

use std::time::Duration;

use sessile::{BuildError, Capacity, SessionCache};

use crate::client::{ClientStore, SEVEN_DAYS};
use crate::shelf::BYTES_PER_SERVER;

/// Builds a [`ClientStore`]: [`ClientStore::builder`].
///
/// ```
/// # fn main() -> Result<(), sessile::BuildError> {
/// use sessile_rustls::ClientStore;
/// use std::time::Duration;
///
/// let store = ClientStore::builder()
///     .max_bytes(64 << 20)
///     .timeout(Duration::from_secs(24 * 60 * 60))
///     .build()?;
/// assert_eq!(store.capacity(), 4096);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct ClientStoreBuilder {
    capacity: Capacity,
    timeout: Duration,
}

impl ClientStoreBuilder {
    pub(crate) fn new() -> Self {
        Self { capacity: Capacity::Sessions(1024), timeout: SEVEN_DAYS }
    }

    /// The largest number of entries; 1024 unless set.
    pub fn capacity(mut self, capacity: impl Into<Capacity>) -> Self {
        self.capacity = capacity.into();
        self
    }

    /// The largest number of entries such that their tickets and certificates take at most so many
    /// bytes together, 16 KiB for each entry; at least one entry. Sets
    /// [`capacity`](Self::capacity).
    pub fn max_bytes(self, bytes: usize) -> Self {
        self.capacity((bytes / BYTES_PER_SERVER).max(1))
    }

    /// How long a server is remembered after its last use: seven days unless set, and at most.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.min(SEVEN_DAYS);
        self
    }

    /// Builds the store.
    ///
    /// # Errors
    ///
    /// A capacity of 0, or one too large to allocate.
    pub fn build(self) -> Result<ClientStore, BuildError> {
        let builder = SessionCache::builder().capacity(self.capacity);
        ClientStore::from_builder(builder.timeout(self.timeout))
    }
}
