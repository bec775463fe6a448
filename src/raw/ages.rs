//! The ages of members, kept from wrapping: a stamp has six bits of the tick.
#![forbid(unsafe_code)]

use super::slot::Occupied;
use super::table::{SLOTS, Table};
use super::word::Stamp;

/// Ages above this are lowered when a victim is looked for, before they wrap and look young.
const AGE_MAX: usize = 48;

const _: () = assert!(AGE_MAX < Stamp::PERIOD - 8);

impl<B> Table<B> {
    #[cfg(test)]
    pub(crate) const AGE_MAX: usize = AGE_MAX;

    /// Whether there have been so many ticks that a stamp can be about to wrap.
    #[inline]
    pub(crate) fn ages_may_wrap(tick: usize) -> bool {
        tick > AGE_MAX
    }

    /// Lowers the ages in a bucket if one is about to wrap.
    #[inline]
    pub(crate) fn lower_ages(&self, bucket: usize, clock: &impl Fn() -> usize) {
        let oldest = self.oldest_in(bucket, clock());
        if oldest.is_some_and(|oldest| is_about_to_wrap(oldest.age)) {
            self.rejuvenate(bucket, clock);
        }
    }

    /// Lowers the ages that are about to wrap. The words change.
    #[cold]
    pub(super) fn rejuvenate(&self, bucket: usize, clock: &dyn Fn() -> usize) {
        for member in self.members(bucket) {
            // After the word: a stamp newer than the tick would look old.
            let tick = clock();
            if is_about_to_wrap(member.age(tick)) {
                member.restamp(tick.wrapping_sub(AGE_MAX - 8));
            }
        }
    }

    /// Renumbers a table of one set before ages wrap. There every placement and use has a tick of
    /// its own, so the order is exact. `tick` is the one just used, and its member is stamped
    /// already.
    #[inline]
    pub(crate) fn renumber_if_due(&self, tick: usize) {
        if tick % (Stamp::PERIOD / 4) == 0 {
            self.renumber(tick);
        }
    }

    /// Gives the members of a one-set table the ages 1, 2, 3 … in their order, so that no age ever
    /// wraps.
    #[cold]
    fn renumber(&self, tick: usize) {
        let mut members = [None; 2 * SLOTS];
        let stored = (0..self.len()).flat_map(|bucket| self.members(bucket));
        for (place, member) in members.iter_mut().zip(stored) {
            *place = Some(member);
        }
        let order = |member: &Occupied<'_, B>| (member.age(tick), !member.is_touched());
        members.sort_unstable_by_key(|member| member.as_ref().map(order));
        for (rank, member) in members.iter().flatten().enumerate() {
            member.restamp(tick.wrapping_sub(rank + 1));
        }
    }
}

#[inline]
pub(super) fn is_about_to_wrap(age: usize) -> bool {
    age > AGE_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_may_wrap_from_the_first_time_on() {
        for tick in 1..4 * Stamp::PERIOD {
            assert_eq!(Table::<()>::ages_may_wrap(tick), tick > AGE_MAX);
        }
    }
}
