//! What the families share: ids, the invariants of a cache at rest, panics on demand, a watchdog.
#![forbid(unsafe_code)]

use super::outcome::panic_text;
use anyhow::{Result, anyhow, ensure};
use sessile::{Session, SessionCache, SessionId};
use std::cell::Cell;
use std::collections::HashSet;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// The moment at which a trial's clock starts, in seconds.
pub(crate) const START: u64 = 1_000_000;

/// The `number`th id: random bytes and the number.
pub(crate) fn id(number: u64) -> SessionId {
    let mut bytes = [0; 32];
    fastrand::Rng::with_seed(number).fill(&mut bytes[..24]);
    bytes[24..].copy_from_slice(&number.to_be_bytes());
    SessionId::from(bytes)
}

/// What must hold whenever no operation is under way.
pub(crate) fn ensure_whole<T: Send + Sync + 'static>(cache: &SessionCache<T>) -> Result<()> {
    let stats = cache.stats();
    let left = stats.removed + stats.taken + stats.evicted + stats.expired + stats.flushed;
    ensure!(
        stats.added - left == stats.number,
        "what came and went is not what is there: {stats:?}"
    );
    ensure!(cache.len() <= cache.capacity(), "{} of {} stored", cache.len(), cache.capacity());
    let all = cache.snapshot();
    ensure!(all.len() == cache.len(), "{} shown, {} counted", all.len(), cache.len());
    let key = |one: &Session<T>| (one.context(), one.protocol(), one.id());
    let keys: HashSet<_> = all.iter().map(key).collect();
    ensure!(keys.len() == all.len(), "a key is stored twice");
    Ok(())
}

/// Frees what was retired and checks that nothing is left of it.
pub(crate) fn ensure_reclaimed<T: Send + Sync + 'static>(cache: &SessionCache<T>) -> Result<()> {
    cache.collect();
    cache.collect();
    let garbage = cache.stats().garbage;
    ensure!(garbage.sessions == 0 && garbage.bytes == 0, "garbage is left: {garbage:?}");
    Ok(())
}

/// Where user code runs inside an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Point {
    OnAdded,
    OnRemoved,
    OnMiss,
    Weigher,
    Clock,
    Reader,
    Drop,
}

impl Point {
    pub(crate) const ALL: [Self; 7] = [
        Self::OnAdded,
        Self::OnRemoved,
        Self::OnMiss,
        Self::Weigher,
        Self::Clock,
        Self::Reader,
        Self::Drop,
    ];
}

/// Makes this thread panic when it comes to a point for the `passes + 1`st time.
pub(crate) struct Fuse;

thread_local! {
    static FUSE: Cell<Option<(Point, u32)>> = const { Cell::new(None) };
}

/// What an injected panic carries.
pub(crate) struct Injected;

impl Fuse {
    pub(crate) fn light(point: Point, passes: u32) {
        FUSE.set(Some((point, passes)));
    }

    /// Puts the fuse out; true if it has burnt down.
    pub(crate) fn put_out() -> bool {
        FUSE.take().is_none()
    }

    /// Called by user code at each point. Unwinds without the panic message, which would only be
    /// noise.
    pub(crate) fn pass(point: Point) {
        let Ok(Some((lit, passes))) = FUSE.try_with(Cell::get) else { return };
        if lit == point && !thread::panicking() {
            FUSE.set(passes.checked_sub(1).map(|passes| (lit, passes)));
            if passes == 0 {
                resume_unwind(Box::new(Injected));
            }
        }
    }
}

/// Runs `f` on a thread of its own; an error when it is not done in time, and the thread is then
/// left behind.
pub(crate) fn within(
    limit: Duration,
    f: impl FnOnce() -> Result<()> + Send + 'static,
) -> Result<()> {
    let (done, is_done) = mpsc::channel();
    let running = thread::spawn(move || {
        let result = f();
        // Nobody listens any more after the limit.
        let _ = done.send(());
        result
    });
    if is_done.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
        return Err(anyhow!("not done after {limit:?}"));
    }
    running.join().unwrap_or_else(|panic| Err(anyhow!("panicked: {}", panic_text(&*panic))))
}

/// Repeats `round` until the time is up, at least once.
pub(crate) fn repeat(time: Duration, mut round: impl FnMut(u64)) {
    let started = Instant::now();
    for nth in 0.. {
        round(nth);
        if started.elapsed() >= time {
            return;
        }
    }
}

/// Runs `work` while other threads run `disturb` over and over, each with its own source of chance.
/// They have begun by then.
pub(crate) fn disturbed<R>(
    threads: u64,
    disturb: impl Fn(&mut fastrand::Rng) + Sync,
    work: impl FnOnce() -> R,
) -> R {
    let done = AtomicBool::new(false);
    let begun = Barrier::new(threads as usize + 1);
    thread::scope(|scope| {
        let disturbing: Vec<_> = (0..threads)
            .map(|seed| {
                let (done, begun, disturb) = (&done, &begun, &disturb);
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed);
                    begun.wait();
                    while !done.load(Ordering::Acquire) {
                        (0..DISTURBANCES_PER_TURN).for_each(|_| disturb(&mut random));
                        // Few processors: what is disturbed must get its turn, too.
                        thread::yield_now();
                    }
                })
            })
            .collect();
        begun.wait();
        let end = End(&done);
        let result = work();
        drop(end);
        ended(disturbing);
        result
    })
}

/// Waits for threads to the end of their teardown, in which they pin for the last time. A scope
/// alone does not. Returns what they returned; a panic goes on here.
pub(crate) fn ended<R>(threads: Vec<ScopedJoinHandle<'_, R>>) -> Vec<R> {
    let join =
        |one: ScopedJoinHandle<'_, R>| one.join().unwrap_or_else(|panic| resume_unwind(panic));
    threads.into_iter().map(join).collect()
}

const DISTURBANCES_PER_TURN: u32 = 16;

/// Says that the work is done, even if it ends in a panic.
struct End<'d>(&'d AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// The middle of what was measured; 0 of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::{Fuse, Point, median, within};
    use std::panic::catch_unwind;
    use std::time::Duration;

    #[test]
    fn a_fuse_burns_once_at_its_point() {
        Fuse::light(Point::Clock, 1);
        Fuse::pass(Point::Weigher);
        Fuse::pass(Point::Clock);
        assert!(catch_unwind(|| Fuse::pass(Point::Clock)).is_err());
        Fuse::pass(Point::Clock);
        assert!(Fuse::put_out());
        Fuse::light(Point::Clock, 0);
        assert!(!Fuse::put_out());
    }

    #[test]
    fn the_watchdog_bites() {
        let limit = Duration::from_millis(20);
        assert!(within(limit, || Ok(())).is_ok());
        assert!(within(limit, || anyhow::bail!("an error")).is_err());
        let hangs = || {
            std::thread::sleep(Duration::from_secs(1));
            Ok(())
        };
        assert!(within(limit, hangs).is_err());
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
