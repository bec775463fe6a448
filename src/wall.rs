//! What the system's clocks show.

use std::time::Duration;

/// The second of the wall clock, by the cheapest call there is: it tells when to read a clock. The
/// same in two calls when no second began between them. `None` where only a real reading would
/// tell.
#[inline]
pub(crate) fn second() -> Option<u64> {
    #[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
    {
        // SAFETY: a null pointer means that the time is wanted as the result alone; the call cannot
        // fail.
        Some(unsafe { libc::time(std::ptr::null_mut()) } as u64)
    }
    #[cfg(not(all(any(target_os = "linux", target_os = "android"), not(miri))))]
    None
}

/// The wall clock, since the Unix epoch.
pub(crate) fn since_epoch() -> Duration {
    use std::time::{SystemTime, UNIX_EPOCH};

    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
}

/// Time that has passed since a fixed moment, suspended time included where the system tells.
pub(crate) fn elapsed() -> Duration {
    #[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
    {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the call writes to the structure that it is given.
        if unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) } == 0 {
            return Duration::new(time.tv_sec as u64, time.tv_nsec as u32);
        }
    }
    since_first_call()
}

/// Monotonic time. It stands still while the system is suspended on some systems.
fn since_first_call() -> Duration {
    use std::sync::OnceLock;
    use std::time::Instant;

    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::*;

    /// The kernel's own word for time with suspension: the first number of `/proc/uptime`.
    #[test]
    fn elapsed_time_counts_suspension() {
        let before = elapsed().as_secs_f64();
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let after = elapsed().as_secs_f64();
        let is_between = before - 1.0 <= uptime && uptime <= after + 1.0;
        assert!(is_between, "{before} to {after} s, where the kernel says {uptime} s");
    }
}
