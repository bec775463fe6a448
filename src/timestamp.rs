//! A point in time, in whole seconds.
#![forbid(unsafe_code)]

use std::fmt;
use std::ops::{Add, Sub};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time, in whole seconds since the Unix epoch.
///
/// TLS and OpenSSL count in seconds, so fractions are cut off. Arithmetic saturates. A custom
/// [`Clock`](crate::Clock) may count from another zero point; then its timestamps compare only
/// with one another.
///
/// ```
/// use sessile::Timestamp;
/// use std::time::{Duration, SystemTime};
///
/// let made = Timestamp::from(1_700_000_000);
/// assert_eq!((made + Duration::from_secs(7200)).as_secs(), 1_700_007_200);
/// assert!(Timestamp::from(SystemTime::now()) > made);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Timestamp(u64);

impl Timestamp {
    /// The earliest time: the zero point of the clock.
    pub const MIN: Self = Self(0);
    /// The latest time.
    pub const MAX: Self = Self(u64::MAX);

    /// A time that many whole seconds after the Unix epoch.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Whole seconds since the Unix epoch.
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// The time since `earlier`; zero if `earlier` is the later one.
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }
}

/// A timeout in whole seconds. A fraction counts as a second, or a short timeout would be none.
pub(crate) fn timeout_seconds(timeout: Duration) -> u64 {
    timeout.as_secs().saturating_add(u64::from(timeout.subsec_nanos() > 0))
}

impl From<u64> for Timestamp {
    /// Whole seconds since the Unix epoch.
    fn from(seconds: u64) -> Self {
        Self(seconds)
    }
}

impl From<SystemTime> for Timestamp {
    /// A time before the Unix epoch becomes the epoch.
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }
}

impl From<Timestamp> for u64 {
    fn from(time: Timestamp) -> Self {
        time.0
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, length: Duration) -> Self {
        Self(self.0.saturating_add(length.as_secs()))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, length: Duration) -> Self {
        Self(self.0.saturating_sub(length.as_secs()))
    }
}

impl fmt::Display for Timestamp {
    /// The number of seconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_rounded_up() {
        let of = timeout_seconds;
        assert_eq!(
            [of(Duration::ZERO), of(Duration::from_millis(900)), of(Duration::from_secs(1))],
            [0, 1, 1]
        );
        assert_eq!([of(Duration::from_nanos(1_000_000_001)), of(Duration::MAX)], [2, u64::MAX]);
    }

    #[test]
    fn arithmetic_saturates_and_fractions_are_cut_off() {
        let second = Duration::from_millis(1999);
        assert_eq!(Timestamp::from(10) + second, Timestamp::from(11));
        assert_eq!(Timestamp::from(10) - second, Timestamp::from(9));
        assert_eq!(Timestamp::MAX + second, Timestamp::MAX);
        assert_eq!(Timestamp::MIN - second, Timestamp::MIN);
        assert_eq!(
            Timestamp::from(3).saturating_duration_since(Timestamp::from(9)),
            Duration::ZERO
        );
    }

    #[test]
    fn system_time_before_the_epoch_is_the_epoch() {
        assert_eq!(Timestamp::from(UNIX_EPOCH - Duration::from_secs(5)), Timestamp::MIN);
        assert_eq!(Timestamp::from(UNIX_EPOCH + Duration::from_millis(5999)), Timestamp::from(5));
    }
}
