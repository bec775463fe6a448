//! The second that the system's wall clock shows, for next to nothing: what tells that it is time to read a clock.

/// Seconds; the same in two calls when no second began between them. `None` where only a real reading would tell.
#[inline]
pub(crate) fn second() -> Option<u64> {
    #[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
    {
        // SAFETY: a null pointer means that the time is wanted as the result alone; the call cannot fail.
        Some(unsafe { libc::time(std::ptr::null_mut()) } as u64)
    }
    #[cfg(not(all(any(target_os = "linux", target_os = "android"), not(miri))))]
    None
}
