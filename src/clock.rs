//! Time, in whole seconds.
#![forbid(unsafe_code)]

use crate::sync::MODELLED;
use crate::sync::untracked::{AtomicU64, Ordering};
use crate::wall;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where a cache takes its time from.
///
/// It is read once per operation, outside of any guard. A clock that goes backwards loses nothing (a session dated in
/// the future is kept and not used) and resurrects nothing (what was removed stays removed).
pub trait Clock: Send + Sync + 'static {
    /// The current time in whole seconds. The zero point is the clock's own; the default clock counts from the Unix
    /// epoch.
    fn now(&self) -> u64;
}

impl<C: Clock> Clock for Arc<C> {
    fn now(&self) -> u64 {
        (**self).now()
    }
}

/// The default clock: monotonic, in whole seconds, anchored at the Unix time of its first use in the process.
///
/// It shows what `Instant` showed when the present second of the wall clock was first asked for, and so may be up to a second
/// late. The wall clock itself, which administrators set, is never shown: it tells only when to read `Instant` again. Should it
/// be set back to the very second of the last call, with no call in between, that reading lasts to the end of the second; and
/// as long as it is stopped. Costs 2 ns on Linux, where `Instant::now` costs about
/// 24 on the same machine; elsewhere it is `Instant::now`.
#[derive(Clone, Copy, Debug, Default)]
pub struct CoarseClock;

/// What the clock shows where somebody else schedules our threads: a second that ends in the middle of a run would change what
/// it does, and runs must repeat exactly.
const STOPPED: u64 = 1_000;

/// The last reading, and the second of the wall clock in which it was made. Whoever sees the second sees the reading, or a
/// later one.
static SHOWN: AtomicU64 = AtomicU64::new(0);
static SECOND: AtomicU64 = AtomicU64::new(u64::MAX);

impl Clock for CoarseClock {
    #[inline]
    fn now(&self) -> u64 {
        if MODELLED {
            return STOPPED;
        }
        let second = wall::second();
        // ORDERING: Acquire: the reading is not older than the second that it belongs to; pairs with the Release in `read`.
        // Invisible: no model has clocks that go.
        if second == Some(SECOND.load(Ordering::Acquire)) {
            // ORDERING: Relaxed: one word, which publishes nothing.
            return SHOWN.load(Ordering::Relaxed);
        }
        read(second)
    }
}

/// Reads the clock, which never goes back, in a second of the wall clock.
#[cold]
fn read(second: Option<u64>) -> u64 {
    static START: OnceLock<(u64, Instant)> = OnceLock::new();
    let (unix, start) = START.get_or_init(|| {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        (unix.as_secs(), Instant::now())
    });
    let now = unix.saturating_add(start.elapsed().as_secs());
    let later = |shown: u64| (shown < now).then_some(now);
    // ORDERING: Relaxed: one word; the maximum keeps threads that read at the same time from setting each other back.
    let before = SHOWN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
    if let Some(second) = second {
        // ORDERING: Release: see `now`. Invisible: as there.
        SECOND.store(second, Ordering::Release);
    }
    before.err().unwrap_or(now)
}

/// A clock that stands still until it is told otherwise, for tests.
///
/// ```
/// use sessile::{Clock, ManualClock};
/// use std::sync::Arc;
///
/// let clock = Arc::new(ManualClock::new(1000));
/// clock.advance(5);
/// assert_eq!(clock.now(), 1005);
/// clock.set(3);
/// assert_eq!(clock.now(), 3);
/// ```
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that shows `now` seconds.
    pub fn new(now: u64) -> Self {
        Self(AtomicU64::new(now))
    }

    /// Sets the clock, forwards or backwards.
    pub fn set(&self, now: u64) {
        // ORDERING: Relaxed: the time is one word and publishes nothing. Exchanged, so that all see it when this returns.
        self.0.swap(now, Ordering::Relaxed);
    }

    /// Moves the clock forwards, saturating.
    pub fn advance(&self, seconds: u64) {
        // ORDERING: Relaxed, as in `set`.
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| Some(now.saturating_add(seconds)));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> u64 {
        // ORDERING: Relaxed, as in `set`.
        self.0.load(Ordering::Relaxed)
    }
}

/// The clock of one cache: the default without a virtual call.
pub(crate) enum Time {
    Coarse,
    Given(Box<dyn Clock>),
}

impl Time {
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        match self {
            Self::Coarse => CoarseClock.now(),
            Self::Given(clock) => clock.now(),
        }
    }
}
