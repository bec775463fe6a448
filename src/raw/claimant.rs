//! Numbers for claimants: no two threads that insert into one table at a time have the same.

use super::publish::CLAIMANTS;
use crate::sync::{AtomicU64, Ordering};

/// Numbers lent for one `add` to threads whose index is too large to be one.
pub(super) struct Claimants(AtomicU64);

/// The right to a number.
pub(crate) struct Claimant<'c> {
    pub(crate) number: usize,
    lent_by: Option<&'c Claimants>,
}

/// Times that a thread yields while all numbers are lent.
const ATTEMPTS_MAX: u32 = 64;

const LENT: usize = u64::BITS as usize;
/// Zero is nobody's: a claim always has bits where a member has its tag.
const OWNED: usize = CLAIMANTS - 1 - LENT;

impl Claimants {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The number of the thread with this index: its own up to the index 958, a lent one above.
    /// `None` when all 64 are lent, each time of several.
    #[inline]
    pub(super) fn number(&self, index: usize) -> Option<Claimant<'_>> {
        if index < OWNED {
            return Some(Claimant { number: index + 1, lent_by: None });
        }
        self.lend_in_time()
    }

    #[cold]
    fn lend_in_time(&self) -> Option<Claimant<'_>> {
        for _ in 0..ATTEMPTS_MAX {
            let lent = self.lend();
            if lent.is_some() {
                return lent;
            }
            crate::sync::yield_now();
        }
        self.lend()
    }

    fn lend(&self) -> Option<Claimant<'_>> {
        // ORDERING: Acquire: a number's former use is over when it is lent again; pairs with the
        // Release in `drop`. Relaxed on failure: nothing is lent. Model: `claimants_lend`.
        let lent = self.0.fetch_update(Ordering::Acquire, Ordering::Relaxed, |bits| {
            let free = bits.trailing_ones();
            (free < u64::BITS).then(|| bits | (1 << free))
        });
        let free = lent.ok()?.trailing_ones() as usize;
        Some(Claimant { number: OWNED + 1 + free, lent_by: Some(self) })
    }
}

impl Drop for Claimant<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(claimants) = self.lent_by {
            // ORDERING: Release: hands the number back, pairs with `lend`. Model: `claimants_lend`.
            claimants.0.fetch_and(!(1 << (self.number - OWNED - 1)), Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lends_each_number_once() {
        let claimants = Claimants::new();
        assert_eq!(claimants.number(7).map(|claimant| claimant.number), Some(8));
        assert_eq!(claimants.number(OWNED - 1).map(|claimant| claimant.number), Some(OWNED));
        let lent: Vec<_> = (0..LENT).filter_map(|_| claimants.number(5000)).collect();
        let mut numbers: Vec<_> = lent.iter().map(|claimant| claimant.number).collect();
        numbers.dedup();
        assert_eq!(numbers, (OWNED + 1..CLAIMANTS).collect::<Vec<_>>());
        assert!(claimants.number(5000).is_none());
        drop(lent);
        assert!(claimants.number(5000).is_some());
    }

    /// Threads with numbers of their own and those that are lent one, all at a time.
    #[test]
    fn no_two_have_one_number() {
        let claimants = Claimants::new();
        let indices = (0..OWNED).chain(std::iter::repeat_n(5000, LENT));
        let mut all: Vec<_> = indices.filter_map(|index| claimants.number(index)).collect();
        assert!(all.iter().map(|claimant| claimant.number).eq(1..CLAIMANTS));
        // What comes back is lent again, and nothing else.
        let freed = all.swap_remove(OWNED + 10).number;
        let again = claimants.number(5000);
        assert_eq!(again.as_ref().map(|claimant| claimant.number), Some(freed));
        assert!(claimants.number(5000).is_none());
    }
}
