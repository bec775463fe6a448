//! Time, in whole seconds.
#![forbid(unsafe_code)]

use crate::hint::likely;
use crate::sync::MODELLED;
use crate::sync::untracked::{AtomicU64, Ordering};
use crate::timestamp::Timestamp;
use crate::wall;
use std::sync::Arc;
use std::time::Duration;

/// Where a cache takes its time from.
///
/// It is read once per operation, outside of any guard. A clock that goes backwards loses nothing
/// (a session dated in the future is kept and not used) and resurrects nothing (what was removed
/// stays removed).
pub trait Clock: Send + Sync + 'static {
    /// The current time. The zero point is the clock's own; the default clock counts from the Unix
    /// epoch.
    fn now(&self) -> Timestamp;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }
}

/// The default clock: Unix time that never goes back, in whole seconds.
///
/// - It counts the time for which the system was suspended (`CLOCK_BOOTTIME` on Linux and Android).
/// - When the wall clock is set forward, it follows. A process that was started before the system's
///   time was set shows the right time from then on.
/// - When the wall clock is set back, it goes on from the time that it showed. So a wall clock that
///   was set ahead by mistake leaves this clock ahead until the process ends.
/// - Processes on one host agree on the second, so that dates can travel between them.
///
/// The clock is read once per second of the wall clock, and cached; the result may be late by a few
/// milliseconds. If the wall clock is set back to exactly the second of the previous call, or
/// stands still, the cached reading is used until the second changes. Costs about 2 ns on Linux,
/// where `Instant::now` costs about 24 ns on the same machine; elsewhere two readings of system
/// clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct CoarseClock;

/// What the clock shows in a model: a second that ends in the middle of a run would change what it
/// does, and runs must repeat exactly.
const STOPPED: u64 = 1_000;

/// The last reading, in one cache line with the second of the wall clock in which it was made. A
/// thread that sees the second sees the reading, or a later one.
#[repr(align(16))]
struct Reading {
    now: AtomicU64,
    at: AtomicU64,
}

static CACHED: Reading = Reading { now: AtomicU64::new(0), at: AtomicU64::new(u64::MAX) };

impl CoarseClock {
    #[inline]
    fn seconds() -> u64 {
        if MODELLED {
            return STOPPED;
        }
        let second = wall::second();
        // ORDERING: Acquire: the reading is not older than the second that it belongs to; pairs
        // with the Release in `read`. Invisible: no model has clocks that go.
        if likely(second == Some(CACHED.at.load(Ordering::Acquire))) {
            // ORDERING: Relaxed: one word, which publishes nothing.
            return CACHED.now.load(Ordering::Relaxed);
        }
        read(second)
    }
}

impl Clock for CoarseClock {
    #[inline]
    fn now(&self) -> Timestamp {
        Timestamp::from(Self::seconds())
    }
}

/// Nanoseconds from the zero point of the clock of elapsed time to the Unix epoch: the greatest
/// difference between the wall clock and elapsed time that was seen.
static OFFSET: AtomicU64 = AtomicU64::new(0);

/// Reads the clocks, in a second of the wall clock.
#[cold]
fn read(second: Option<u64>) -> u64 {
    let now = advance(&OFFSET, &CACHED.now, wall::since_epoch(), wall::elapsed());
    if let Some(second) = second {
        // ORDERING: Release: see `seconds`. Invisible: as there.
        CACHED.at.store(second, Ordering::Release);
    }
    now
}

/// Unix seconds by two readings: of the wall clock, and of the time that has passed since some
/// fixed moment. Never less than `shown`, which is raised to the result.
fn advance(offset: &AtomicU64, shown: &AtomicU64, wall: Duration, elapsed: Duration) -> u64 {
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let ahead = nanoseconds(wall).saturating_sub(nanoseconds(elapsed));
    // ORDERING: Relaxed twice: each is one word and publishes nothing; maxima keep threads that
    // read at the same time from setting each other back.
    let offset = offset.fetch_max(ahead, Ordering::Relaxed).max(ahead);
    let now = elapsed.saturating_add(Duration::from_nanos(offset)).as_secs();
    shown.fetch_max(now, Ordering::Relaxed).max(now)
}

/// A clock that stands still until it is told otherwise, for tests.
///
/// ```
/// use sessile::{Clock, ManualClock};
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// let clock = Arc::new(ManualClock::new(1000));
/// clock.advance(Duration::from_secs(5));
/// assert_eq!(clock.now().as_secs(), 1005);
/// clock.set(3);
/// assert_eq!(clock.now().as_secs(), 3);
/// ```
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: impl Into<Timestamp>) -> Self {
        Self(AtomicU64::new(now.into().as_secs()))
    }

    /// Sets the clock, forwards or backwards.
    pub fn set(&self, now: impl Into<Timestamp>) {
        // ORDERING: Relaxed: the time is one word and publishes nothing. Exchanged, so that all see
        // it when this returns.
        self.0.swap(now.into().as_secs(), Ordering::Relaxed);
    }

    /// Moves the clock forwards, saturating: by a [`Duration`], of which fractions of a second are
    /// cut off, or by a number of seconds.
    pub fn advance(&self, length: impl Length) {
        let seconds = length.seconds();
        // ORDERING: Relaxed, as in `set`.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
            Some(now.saturating_add(seconds))
        });
    }
}

/// A length of time in whole seconds, for tests: a [`Duration`], or a number of seconds.
pub trait Length: sealed::Sealed {}

impl Length for Duration {}
impl Length for u64 {}

mod sealed {
    use std::time::Duration;

    pub trait Sealed {
        fn seconds(self) -> u64;
    }

    impl Sealed for Duration {
        fn seconds(self) -> u64 {
            self.as_secs()
        }
    }

    impl Sealed for u64 {
        fn seconds(self) -> u64 {
            self
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        // ORDERING: Relaxed, as in `set`.
        Timestamp::from(self.0.load(Ordering::Relaxed))
    }
}

/// The clock of one cache: the default without a virtual call.
pub(crate) enum Time {
    Coarse,
    Given(Box<dyn Clock>),
}

impl Time {
    /// Seconds, by the zero point of the clock.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        match self {
            Self::Coarse => CoarseClock::seconds(),
            Self::Given(clock) => clock.now().as_secs(),
        }
    }

    /// The time by a clock that the program supplied, which is not called under a guard. `None` for
    /// the default clock: it may be read under a guard, so it is read only if needed.
    #[inline(always)]
    pub(crate) fn before_guard(&self) -> Option<u64> {
        match self {
            Self::Coarse => None,
            Self::Given(clock) => Some(clock.now().as_secs()),
        }
    }

    /// The time, after [`before_guard`](Self::before_guard).
    #[inline(always)]
    pub(crate) fn under_guard(before: Option<u64>) -> u64 {
        before.unwrap_or_else(CoarseClock::seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: u64 = 365 * 24 * 60 * 60;

    /// Two clocks of one host, and what a process makes of them.
    struct Process {
        offset: AtomicU64,
        shown: AtomicU64,
    }

    impl Process {
        fn new() -> Self {
            Self { offset: AtomicU64::new(0), shown: AtomicU64::new(0) }
        }

        fn at(&self, wall: f64, elapsed: f64) -> u64 {
            let [wall, elapsed] = [wall, elapsed].map(Duration::from_secs_f64);
            advance(&self.offset, &self.shown, wall, elapsed)
        }
    }

    #[test]
    fn it_follows_a_wall_clock_that_is_set_forward() {
        let process = Process::new();
        assert_eq!(process.at(60.0, 20.0), 60);
        let set = 50.0 * YEAR as f64;
        assert_eq!(process.at(set, 30.0), 50 * YEAR);
        assert_eq!(process.at(set + 5.0, 35.0), 50 * YEAR + 5);
    }

    #[test]
    fn it_goes_on_when_the_wall_clock_is_set_back() {
        let process = Process::new();
        assert_eq!(process.at(1000.0, 20.0), 1000);
        assert_eq!(process.at(990.0, 30.0), 1010, "ten seconds have passed");
        assert_eq!(process.at(1005.0, 45.0), 1025);
    }

    #[test]
    fn processes_of_one_host_agree_on_the_second() {
        let (one, other) = (Process::new(), Process::new());
        one.at(1000.9, 20.9);
        other.at(1003.2, 23.2);
        for tenth in 0..100 {
            let tenths = f64::from(tenth) / 10.0;
            let (wall, elapsed) = (1004.05 + tenths, 24.05 + tenths);
            assert_eq!(one.at(wall, elapsed), other.at(wall, elapsed));
        }
    }
}
