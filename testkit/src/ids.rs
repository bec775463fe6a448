//! Ids and sessions by number, and the time at which a test's clock starts.
#![forbid(unsafe_code)]

use sessile::{ManualClock, Session, SessionCache, SessionCacheBuilder, SessionId, Timestamp};
use std::sync::Arc;

/// The moment at which a test's clock starts, in seconds.
pub const START: u64 = 1_000_000;

/// The bytes at the end of an [`id`] that hold its number.
const NUMBER_BYTES: usize = size_of::<u64>();

/// A time that many seconds after the epoch.
pub fn at(seconds: u64) -> Timestamp {
    Timestamp::from(seconds)
}

/// How often a stress test runs: in a release build, in a debug build.
pub const fn scaled(release: u64, debug: u64) -> u64 {
    if cfg!(debug_assertions) { debug } else { release }
}

/// The `n`th id: 32 bytes, spread like real ones, the last eight of which are its number.
pub fn id(n: u64) -> SessionId {
    let mut bytes = [0; SessionId::MAX_LEN];
    let (random, number) = bytes.split_at_mut(SessionId::MAX_LEN - NUMBER_BYTES);
    fastrand::Rng::with_seed(n).fill(random);
    number.copy_from_slice(&n.to_le_bytes());
    SessionId::from(bytes)
}

/// The number of an [`id`].
///
/// # Panics
/// When the id is shorter than a number.
pub fn number_of(id: &SessionId) -> u64 {
    let number = id.as_bytes().last_chunk().expect("an id that `id` made");
    u64::from_le_bytes(*number)
}

/// An id of chosen bytes.
///
/// # Panics
/// When they are not 1 to 32.
pub fn id_of(bytes: &[u8]) -> SessionId {
    SessionId::new(bytes).expect("1 to 32 bytes")
}

/// An id of one byte, repeated.
pub fn id_of_byte(byte: u8) -> SessionId {
    SessionId::from([byte; SessionId::MAX_LEN])
}

/// A session that carries its number.
pub fn session(n: u64) -> Session<u64> {
    Session::new(id(n), n)
}

/// A cache on a clock that starts at [`START`].
pub fn clocked<T: Send + Sync + 'static>(
    capacity: usize,
) -> (SessionCacheBuilder<T>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(START));
    (SessionCache::builder().capacity(capacity).clock(Arc::clone(&clock)), clock)
}

/// The numbers stored, sorted.
pub fn numbers(cache: &SessionCache<u64>) -> Vec<u64> {
    let mut numbers: Vec<u64> = cache.iter().map(|session| *session).collect();
    numbers.sort_unstable();
    numbers
}
