//! The time of single operations by the time-stamp counter, between fences: no instruction of the
//! operation begins before the first reading, and all have ended at the second.

use quanta::Instant;
use std::sync::OnceLock;
use std::time::Duration;

#[cfg(target_arch = "x86_64")]
mod counter {
    use std::arch::x86_64::{__rdtscp, _mm_lfence, _rdtsc};

    #[inline(always)]
    pub(super) fn begin() -> u64 {
        // SAFETY: every x86-64 processor has these instructions; they touch no memory.
        unsafe {
            _mm_lfence();
            let ticks = _rdtsc();
            _mm_lfence();
            ticks
        }
    }

    #[inline(always)]
    pub(super) fn end() -> u64 {
        let mut processor = 0;
        // SAFETY: as above; what is written is this function's own.
        unsafe {
            let ticks = __rdtscp(&raw mut processor);
            _mm_lfence();
            ticks
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod counter {
    use std::sync::OnceLock;
    use std::time::Instant;

    static START: OnceLock<Instant> = OnceLock::new();

    pub(super) fn begin() -> u64 {
        START.get_or_init(Instant::now).elapsed().as_nanos() as u64
    }

    pub(super) fn end() -> u64 {
        begin()
    }
}

/// What a tick is, and what two readings cost.
#[derive(Clone, Copy)]
pub(super) struct Ticks {
    nanos_per_tick: f64,
    own: u64,
}

impl Ticks {
    pub(super) fn new() -> Self {
        static TICKS: OnceLock<Ticks> = OnceLock::new();
        *TICKS.get_or_init(|| {
            let mut samples: Vec<u64> = (0..10_001).map(|_| elapsed(|| ())).collect();
            samples.sort_unstable();
            Self { nanos_per_tick: nanos_per_tick(), own: samples[samples.len() / 2] }
        })
    }

    /// The time of `work` in nanoseconds, less that of the readings.
    #[inline(always)]
    pub(super) fn time(self, work: impl FnOnce()) -> f64 {
        elapsed(work).saturating_sub(self.own) as f64 * self.nanos_per_tick
    }
}

#[inline(always)]
fn elapsed(work: impl FnOnce()) -> u64 {
    let start = counter::begin();
    work();
    counter::end().saturating_sub(start)
}

fn nanos_per_tick() -> f64 {
    const LONG: Duration = Duration::from_millis(20);
    let (start, first) = both_clocks();
    while start.elapsed() < LONG {
        std::hint::spin_loop();
    }
    let (end, last) = both_clocks();
    (end - start).as_nanos() as f64 / last.saturating_sub(first).max(1) as f64
}

/// The same moment by both clocks: of many readings, the one with the least time around it.
fn both_clocks() -> (Instant, u64) {
    let read = |_| {
        let before = counter::end();
        let now = Instant::now();
        let after = counter::end();
        (after.saturating_sub(before), (now, before.midpoint(after)))
    };
    let readings = (0..64).map(read).min_by_key(|(around, _)| *around);
    readings.expect("there are some").1
}

#[cfg(test)]
mod tests {
    use super::Ticks;
    use std::time::{Duration, Instant};

    #[test]
    fn a_tick_is_as_long_as_the_clock_says() {
        let ticks = Ticks::new();
        let start = Instant::now();
        let nanos = ticks.time(|| std::thread::sleep(Duration::from_millis(30)));
        // The sleep was inside of the first, and both inside of the second.
        assert!(nanos >= 29e6 && nanos <= start.elapsed().as_nanos() as f64 * 1.02, "{nanos}");
    }
}
