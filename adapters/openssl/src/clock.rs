//! The clock that libssl dates its sessions by.
#![forbid(unsafe_code)]

use sessile::{Clock, Timestamp};

use crate::ffi;

/// Seconds since the Unix epoch by libc's `time`, which libssl calls to date its sessions.
///
/// Whatever shifts the one shifts the other: an administrator, or a library that is loaded before
/// libc. The clock can be set back. Sessions dated after the new time are kept, and used again when
/// it has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnixClock;

impl Clock for UnixClock {
    #[inline]
    fn now(&self) -> Timestamp {
        Timestamp::from(ffi::unix_seconds())
    }
}
