//! The clock that libssl dates its sessions by.
#![forbid(unsafe_code)]

use std::time::{SystemTime, UNIX_EPOCH};

use sessile::Clock;

/// Seconds since the Unix epoch by the system's clock, which is what `SSL_SESSION_get_time(3)` counts.
///
/// It can be set back. Sessions dated after the new time are kept, and used again when it has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnixClock;

impl Clock for UnixClock {
    fn now(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}
