//! Permits: what makes `len() <= capacity()` true at every moment.
//!
//! Each stored session holds a permit. A placement takes one first, a removal gives one back, and
//! an eviction passes the victim's to the newcomer, so that a full cache touches no shared counter
//! in steady state. Threads keep a few spare permits, which count as out.
#![forbid(unsafe_code)]

use crate::sync::Ordering;
use crate::sync::on_request::{AtomicU64, AtomicUsize};
use crossbeam_utils::CachePadded;

/// A number of permits that can be changed while some are out.
///
/// Limit and permits out are one word, so that a limit cannot be lowered behind the back of a
/// thread that is about to take a permit, and an observer never sees more out than the capacity it
/// is shown.
#[derive(Debug)]
pub(crate) struct Permits {
    /// The limit in the upper half, the permits out in the lower.
    state: CachePadded<AtomicU64>,
    /// Spares that one thread may keep: the limit shifted by so many bits, at most [`SPARE_MAX`].
    spare_shift: u32,
}

const SPARE_MAX: u32 = 32;

/// One thread's spare permits.
#[derive(Debug, Default)]
pub(crate) struct Spare(AtomicUsize);

#[derive(Clone, Copy)]
struct State {
    limit: u32,
    out: u32,
}

impl State {
    fn unpack(bits: u64) -> Self {
        Self { limit: (bits >> 32) as u32, out: bits as u32 }
    }

    fn pack(self) -> u64 {
        u64::from(self.limit) << 32 | u64::from(self.out)
    }
}

// Taking acquires and giving releases, in `Permits` and `Spare` alike: whoever places a session
// with a permit has seen what was counted before it was given back, so that the sums of
// `stats::number` never exceed the limit. The bound itself follows from the modification order of
// `state` alone, and the table's words carry their own edges: everything else is Relaxed.

impl Permits {
    /// The largest bound; the next number means none.
    pub(crate) const LIMIT_MAX: usize = u32::MAX as usize - 1;

    pub(crate) fn new(limit: usize, spare_shift: u32) -> Self {
        let state = State { limit: Self::clamp(limit), out: 0 };
        Self { state: CachePadded::new(AtomicU64::new(state.pack())), spare_shift }
    }

    fn clamp(limit: usize) -> u32 {
        u32::try_from(limit).unwrap_or(u32::MAX)
    }

    #[inline]
    fn load(&self) -> State {
        State::unpack(self.state.load(Ordering::Relaxed))
    }

    /// The limit for new permits; `usize::MAX` for none.
    pub(crate) fn limit(&self) -> usize {
        match self.load().limit {
            u32::MAX => usize::MAX,
            limit => limit as usize,
        }
    }

    #[inline]
    pub(crate) fn is_unlimited(&self) -> bool {
        self.load().limit == u32::MAX
    }

    /// Whether hardly any permits are left: an eighth of the limit.
    pub(crate) fn is_nearly_out(&self) -> bool {
        let State { limit, out } = self.load();
        limit != u32::MAX && out >= limit - limit / 8
    }

    /// The limit as it may be shown: never below what is out.
    pub(crate) fn shown(&self) -> usize {
        match self.load() {
            State { limit: u32::MAX, .. } => usize::MAX,
            State { limit, out } => limit.max(out) as usize,
        }
    }

    /// Permits out, spares included.
    pub(crate) fn out(&self) -> usize {
        self.load().out as usize
    }

    /// Permits that a lowered limit does not cover any more.
    #[inline]
    pub(crate) fn excess(&self) -> usize {
        let State { limit, out } = self.load();
        out.saturating_sub(limit) as usize
    }

    /// Derived from the limit, with which it changes.
    #[inline]
    fn spare_max(&self) -> usize {
        self.load().limit.checked_shr(self.spare_shift).unwrap_or(0).min(SPARE_MAX) as usize
    }

    pub(crate) fn set_limit(&self, limit: usize) {
        let limit = Self::clamp(limit);
        let with_limit = |bits| Some(State { limit, ..State::unpack(bits) }.pack());
        let _ = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with_limit);
    }

    /// Takes one permit, from this thread's spares if it has any.
    #[inline]
    pub(crate) fn take(&self, spare: &Spare) -> bool {
        if spare.take() {
            return true;
        }
        let State { limit, out } = self.load();
        out < limit && self.take_batch(spare)
    }

    /// Takes a few permits, all but one of them as spares.
    fn take_batch(&self, spare: &Spare) -> bool {
        let batch = (self.spare_max() / 2).max(1);
        let taken = self.take_up_to(batch as u32);
        if taken > 1 {
            spare.put(taken as usize - 1);
            // Nobody looks for spares where none may be kept any more.
            if !self.has_spares() {
                self.reclaim(spare);
            }
        }
        taken > 0
    }

    /// Gives one permit back, as a spare of this thread while it has few.
    #[inline]
    pub(crate) fn give(&self, spare: &Spare) {
        let max = self.spare_max();
        if max == 0 {
            return self.give_many(1);
        }
        spare.put(1);
        if spare.0.load(Ordering::Relaxed) > max {
            let half = spare.drain(max / 2);
            self.give_many(half);
        }
    }

    /// Whether threads may keep spares.
    #[inline]
    pub(crate) fn has_spares(&self) -> bool {
        self.spare_max() > 0
    }

    /// Returns the spares of a thread to everybody.
    pub(crate) fn reclaim(&self, spare: &Spare) {
        let spares = spare.drain(0);
        if spares > 0 {
            self.give_many(spares);
        }
    }

    fn give_many(&self, n: usize) {
        // ORDERING: Release: the removal was counted before; pairs with `take_up_to`. Model:
        // `capacity_counted`.
        self.state.fetch_sub(n as u64, Ordering::Release);
    }

    /// Takes as many permits as there are, at most `most`.
    fn take_up_to(&self, most: u32) -> u32 {
        let mut bits = self.state.load(Ordering::Relaxed);
        loop {
            let state = State::unpack(bits);
            let taken = state.limit.saturating_sub(state.out).min(most);
            if taken == 0 {
                return 0;
            }
            let next = State { out: state.out + taken, ..state }.pack();
            // ORDERING: Acquire: sees what was counted before the permits were given back, pairs
            // with `give_many`. Relaxed on failure: only compared. Model: `capacity_counted`.
            match self.state.compare_exchange(bits, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return taken,
                Err(now) => bits = now,
            }
        }
    }
}

impl Spare {
    #[inline]
    fn take(&self) -> bool {
        let mut spare = self.0.load(Ordering::Relaxed);
        while spare > 0 {
            // ORDERING: Relaxed: only this thread puts spares here, or the owner before, whose work
            // the registry hands over.
            match self.0.compare_exchange(spare, spare - 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => spare = now,
            }
        }
        false
    }

    fn put(&self, n: usize) {
        // ORDERING: Release: the removal was counted before; pairs with `drain` by another thread.
        // Model: `capacity_spares`.
        self.0.fetch_add(n, Ordering::Release);
    }

    /// Passes all spares on, from a thread that exits to what is nobody's.
    pub(crate) fn leave(&self, heir: &Self) {
        let spares = self.drain(0);
        if spares > 0 {
            heir.put(spares);
        }
    }

    /// Takes all but `keep` spares out.
    fn drain(&self, keep: usize) -> usize {
        let mut spare = self.0.load(Ordering::Relaxed);
        while spare > keep {
            // ORDERING: Acquire: takes another thread's spares with what it counted, pairs with
            // `put`. Relaxed on failure: only compared. Model: `capacity_spares`.
            match self.0.compare_exchange(spare, keep, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return spare - keep,
                Err(now) => spare = now,
            }
        }
        0
    }
}

#[cfg(all(test, not(any(sessile_loom, sessile_shuttle))))]
mod tests {
    use super::*;

    /// In batches, of which all but one become spares.
    #[test]
    fn as_many_permits_are_given_out_as_the_limit_says() {
        for (limit, shift) in [(1, 0), (10, 32), (100, 0), (1000, 4), (1000, 7)] {
            let (permits, spare) = (Permits::new(limit, shift), Spare::default());
            assert_eq!(
                (0..2 * limit).filter(|_| permits.take(&spare)).count(),
                limit,
                "shift {shift}"
            );
            assert_eq!(permits.out(), limit);
        }
    }

    /// A limit that is lowered is shown once what is out has come back.
    #[test]
    fn what_is_out_is_shown_as_the_limit() {
        let (permits, spare) = (Permits::new(10, 32), Spare::default());
        assert!((0..5).all(|_| permits.take(&spare)));
        permits.set_limit(3);
        assert_eq!((permits.limit(), permits.shown(), permits.excess()), (3, 5, 2));
        (0..3).for_each(|_| permits.give(&spare));
        assert_eq!((permits.shown(), permits.excess()), (3, 0));
    }
}
