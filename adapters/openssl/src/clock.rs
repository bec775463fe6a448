//! The clock that libssl dates its sessions by.
#![forbid(unsafe_code)]

use sessile::{Clock, Timestamp};

/// Seconds since the Unix epoch by the system's clock, which is what `SSL_SESSION_get_time(3)` counts.
///
/// It can be set back. Sessions dated after the new time are kept, and used again when it has come. On Linux it is the
/// coarse clock, as `time(2)` is: it costs a fifth of the exact one, and follows it by some milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnixClock;

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Clock for UnixClock {
    #[inline]
    fn now(&self) -> Timestamp {
        use rustix::time::{ClockId, clock_gettime};

        Timestamp::from(u64::try_from(clock_gettime(ClockId::RealtimeCoarse).tv_sec).unwrap_or(0))
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Clock for UnixClock {
    fn now(&self) -> Timestamp {
        Timestamp::from(std::time::SystemTime::now())
    }
}
