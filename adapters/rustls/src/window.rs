//! How long a chain of resumptions may be.
//!
//! A resumed TLS 1.3 handshake issues new tickets. rustls shows a store bytes and keys only:
//! whether the handshake behind a new session was a full one, a store cannot tell. Time is
//! therefore divided into windows of the maximum age. A session is valid to the end of the window
//! in which it was stored and no longer, so no chain crosses the end of a window.
//!
//! One gap remains: a handshake that resumes at the end of a window and stores at the start of the
//! next. So if a session was handed out in the last seconds of a window, the *pause*, nothing is
//! stored in as many of the next. A chain crosses only if one handshake takes longer than the
//! pause.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The longest pause. Servers are expected to end handshakes that take longer than a minute.
const PAUSE_MAX_SECONDS: u64 = 60;

/// The pause is at most this part of a window: 10 seconds of an hour, none below six minutes.
const PAUSE_DIVISOR: u64 = 360;

/// Windows of one length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    /// In seconds; not 0.
    length: u64,
}

impl Windows {
    /// Windows of `length` in whole seconds, fractions cut off, and of at least one second.
    pub(crate) const fn new(length: Duration) -> Self {
        let length = length.as_secs();
        Self { length: if length == 0 { 1 } else { length } }
    }

    /// The last second of the window that `now` is in.
    ///
    /// `digest` shifts the windows, so that those of different contexts do not end together.
    pub(crate) fn last_second(self, now: u64, digest: &[u8; 32]) -> u64 {
        now.saturating_add(self.remaining(now, digest))
    }

    /// Seconds of the present window before `now`.
    fn elapsed(self, now: u64, digest: &[u8; 32]) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = *digest;
        let phase = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let elapsed = (u128::from(now) + u128::from(phase)) % u128::from(self.length);
        u64::try_from(elapsed).unwrap_or(u64::MAX)
    }

    /// Seconds of the present window after `now`.
    fn remaining(self, now: u64, digest: &[u8; 32]) -> u64 {
        self.length - 1 - self.elapsed(now, digest)
    }

    fn pause(self) -> u64 {
        PAUSE_MAX_SECONDS.min(self.length / PAUSE_DIVISOR)
    }
}

/// The windows of those handshakes that store and look up through one handle.
#[derive(Debug)]
pub(crate) struct Bound {
    windows: Windows,
    /// The latest second in which a session was handed out at the end of a window, plus one; 0 for
    /// never. With windows of several digests the latest of them all, which pauses too often.
    late: AtomicU64,
}

impl Bound {
    pub(crate) fn new(windows: Windows) -> Self {
        Self { windows, late: AtomicU64::new(0) }
    }

    // ORDERING: Relaxed for the word, which publishes nothing. The store of a handshake comes after
    // its lookup, by whatever hands the connection from thread to thread.

    /// Takes note that a session is handed out.
    pub(crate) fn note_resumption(&self, now: u64, digest: &[u8; 32]) {
        if self.windows.remaining(now, digest) < self.windows.pause() {
            self.late.fetch_max(now.saturating_add(1), Ordering::Relaxed);
        }
    }

    /// The last second of a session that is stored now; `None` in the pause.
    pub(crate) fn last_second(&self, now: u64, digest: &[u8; 32]) -> Option<u64> {
        let (elapsed, pause) = (self.windows.elapsed(now, digest), self.windows.pause());
        let is_under_way = || {
            let late = self.late.load(Ordering::Relaxed);
            late != 0 && late.saturating_add(pause) > now.saturating_sub(elapsed)
        };
        let may_be_of_before = elapsed < pause && is_under_way();
        (!may_be_of_before).then(|| self.windows.last_second(now, digest))
    }

    /// The last second of the present window.
    pub(crate) fn end(&self, now: u64, digest: &[u8; 32]) -> u64 {
        self.windows.last_second(now, digest)
    }

    /// Whether a session that was made at `created` may be used at `now`.
    pub(crate) fn is_current(&self, created: u64, now: u64, digest: &[u8; 32]) -> bool {
        now <= self.windows.last_second(created, digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Windows {
        Windows::new(Duration::from_secs(seconds))
    }

    #[test]
    fn all_of_one_window_end_in_its_last_second() {
        for digest in [[0; 32], [0x5a; 32], [0xff; 32]] {
            let ends: Vec<u64> =
                (1000..2000).map(|now| seconds(7).last_second(now, &digest)).collect();
            for (now, end) in (1000..).zip(&ends) {
                assert!((now..now + 7).contains(end), "{now} {end}");
            }
            let mut distinct = ends;
            distinct.dedup();
            assert!(distinct.windows(2).all(|pair| pair[1] - pair[0] == 7));
        }
    }

    /// How many of the first seconds of a window are refused if a session was handed out at
    /// `resumed` seconds before.
    fn refused(length: u64, resumed: u64) -> usize {
        let (windows, digest) = (seconds(length), [0x3c; 32]);
        let start = windows.last_second(1_000_000, &digest) + 1;
        let bound = Bound::new(windows);
        bound.note_resumption(start - resumed, &digest);
        (start..start + length).filter(|now| bound.last_second(*now, &digest).is_none()).count()
    }

    #[test]
    fn after_a_late_resumption_nothing_is_stored_in_the_pause() {
        for (length, pause) in [(1, 0), (359, 0), (360, 1), (3600, 10), (86_400, 60)] {
            for resumed in [1, pause] {
                assert_eq!(refused(length, resumed), pause as usize, "{length} {resumed}");
            }
            assert_eq!(refused(length, pause + 1), 0, "not late: {length}");
        }
    }

    #[test]
    fn resumptions_of_the_present_window_do_not_pause_it() {
        let (windows, digest) = (seconds(3600), [0x3c; 32]);
        let start = windows.last_second(1_000_000, &digest) + 1;
        let bound = Bound::new(windows);
        bound.note_resumption(start, &digest);
        assert_eq!(bound.last_second(start, &digest), Some(start + 3599));
    }

    #[test]
    fn lengths_and_times_at_the_limits_do_not_overflow() {
        for windows in [Duration::ZERO, Duration::from_millis(999)].map(Windows::new) {
            assert_eq!(windows.last_second(5, &[9; 32]), 5);
        }
        for windows in [seconds(86_400), Windows::new(Duration::MAX)] {
            for (now, digest) in
                [0, u64::MAX].into_iter().flat_map(|now| [(now, [0; 32]), (now, [255; 32])])
            {
                let bound = Bound::new(windows);
                bound.note_resumption(now, &digest);
                assert!(bound.last_second(now, &digest).is_none_or(|end| end >= now));
                assert!(bound.is_current(now, now, &digest));
            }
        }
    }

    #[test]
    fn contexts_end_at_different_times() {
        let windows = seconds(86_400);
        assert_ne!(
            windows.last_second(1_000_000, &[1; 32]),
            windows.last_second(1_000_000, &[2; 32])
        );
    }
}
