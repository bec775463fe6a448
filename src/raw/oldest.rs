//! The oldest member of some buckets, and the newest of a crowd.
#![forbid(unsafe_code)]

use super::ages::is_about_to_wrap;
use super::group::{Group, OldestSearch};
use super::lanes::{Oldest, RANKED_MAX};
use super::set::{Probe, SetRef};
use super::slot::{Occupied, SlotIndex};
use super::table::{SLOTS, Table};
use super::word::{Pattern, Stamp};
use crate::hint::unlikely;
use std::cmp::Reverse;

/// The oldest word of some buckets, as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OldestCandidate {
    position: SlotIndex,
    /// In ticks.
    pub(super) age: usize,
}

/// The ticks went on: look again.
pub(crate) struct Stale;

impl<'g, B> SetRef<'g, B> {
    /// The member that was stored last of those with the tag of a key, if they are more than
    /// chance brings together: one id in many contexts. It goes for the next of them, lest they
    /// push out all others.
    #[cold]
    pub(crate) fn latest_of_crowd(self, probe: &Probe, tick: usize) -> Option<Occupied<'g, B>> {
        let pattern = Pattern::member(probe.tag());
        let slots =
            (0..SLOTS).flat_map(|slot| self.set.buckets.map(|bucket| SlotIndex { bucket, slot }));
        let slots = slots.map(|position| self.table.at(position));
        let crowd = slots.filter(|slot| slot.word.fits(pattern)).map(Occupied);
        let mut size = 0;
        // Of several that seem to be the latest, the last: slots fill in this order.
        let age = |one: &Occupied<'g, B>| one.age(tick);
        let later = |one, other| if age(&other) <= age(&one) { other } else { one };
        let latest = crowd.inspect(|_| size += 1).reduce(later);
        latest.filter(|_| size > SLOTS / 2)
    }

    /// Whether a member lies in the set.
    #[inline(always)]
    pub(crate) fn covers(self, member: &Occupied<'g, B>) -> bool {
        self.set.buckets.contains(&member.0.position.bucket)
    }

    /// The oldest member of the set and of at most [`OTHERS_MAX`](Table::OTHERS_MAX) buckets more;
    /// `None` if they have no member. Lowers ages that are about to wrap.
    #[inline]
    pub(crate) fn oldest(
        self,
        others: &[usize],
        clock: &impl Fn() -> usize,
    ) -> Result<Option<Occupied<'g, B>>, Stale> {
        self.oldest_of(self.groups(), others, clock)
    }

    /// [`oldest`](Self::oldest), with what was seen in the set.
    #[inline(always)]
    pub(super) fn oldest_of(
        self,
        groups: [Group; 2],
        others: &[usize],
        clock: &impl Fn() -> usize,
    ) -> Result<Option<Occupied<'g, B>>, Stale> {
        let tick = clock();
        let Some(mut oldest) = self.search(groups, others, tick) else { return Ok(None) };
        if unlikely(is_about_to_wrap(oldest.age)) {
            let Some(next) = self.search_lowered(oldest, others, tick, clock) else {
                return Ok(None);
            };
            oldest = next;
        }
        // Others may have stamped so far ahead of the tick that the youngest look old.
        if unlikely(clock().wrapping_sub(tick) > Stamp::AHEAD_MAX) {
            return Err(Stale);
        }
        match self.table.still(oldest, tick) {
            Some(member) => Ok(Some(member)),
            None => Ok(self.oldest_one_by_one(others, clock)),
        }
    }

    /// Lowers the ages in the bucket of the oldest word, and searches again; does so as many times
    /// as there are buckets, at most.
    #[cold]
    #[inline(never)]
    fn search_lowered(
        self,
        mut oldest: OldestCandidate,
        others: &[usize],
        tick: usize,
        clock: &dyn Fn() -> usize,
    ) -> Option<OldestCandidate> {
        for _ in 0..2 + others.len() {
            if !is_about_to_wrap(oldest.age) {
                break;
            }
            self.table.rejuvenate(oldest.position.bucket, clock);
            oldest = self.search(self.groups(), others, tick)?;
        }
        Some(oldest)
    }

    /// The oldest member where the one that was seen is none any more, or never was: a claim or a
    /// word of a migration, which may stay for as long as its thread sleeps.
    #[cold]
    #[inline(never)]
    fn oldest_one_by_one(
        self,
        others: &[usize],
        clock: &dyn Fn() -> usize,
    ) -> Option<Occupied<'g, B>> {
        let others = others.iter().flat_map(|&bucket| self.table.members(bucket));
        // The tick after the word: a stamp newer than the tick would look old.
        self.members().chain(others).min_by_key(|member| Reverse(member.age(clock())))
    }

    #[inline(always)]
    fn search(self, groups: [Group; 2], others: &[usize], tick: usize) -> Option<OldestCandidate> {
        let mut search = OldestSearch::new(tick);
        groups.into_iter().for_each(|group| search.see(group));
        others
            .iter()
            .take(Table::<B>::OTHERS_MAX)
            .for_each(|&bucket| search.see(self.table.group(bucket)));
        let oldest = search.oldest();
        let bucket = match oldest.nth() {
            nth @ 0..=1 => self.set.buckets[nth],
            nth => *others.get(nth - 2)?,
        };
        OldestCandidate::of(oldest, bucket)
    }
}

impl OldestCandidate {
    #[inline(always)]
    fn of(oldest: Oldest, bucket: usize) -> Option<Self> {
        let position = SlotIndex { bucket, slot: oldest.slot() };
        oldest.is_somebody().then(|| Self { position, age: oldest.age() })
    }
}

impl<B> Table<B> {
    #[inline(always)]
    fn group(&self, bucket: usize) -> Group {
        Group::load(self.bucket(bucket))
    }

    /// Buckets beside a set that can be ranked with it.
    pub(crate) const OTHERS_MAX: usize = RANKED_MAX - 2;

    /// The oldest word of one bucket: no member there is older.
    #[inline]
    pub(super) fn oldest_in(&self, bucket: usize, tick: usize) -> Option<OldestCandidate> {
        let mut search = OldestSearch::new(tick);
        search.see(self.group(bucket));
        OldestCandidate::of(search.oldest(), bucket)
    }

    /// What was seen as the oldest, if it is a member and was not used since.
    #[inline(always)]
    fn still(&self, oldest: OldestCandidate, tick: usize) -> Option<Occupied<'_, B>> {
        let member = Occupied::of(self.at(oldest.position))?;
        (member.age(tick) == oldest.age).then_some(member)
    }
}

#[cfg(test)]
mod tests {
    use super::super::word::{Tag, Word};
    use super::*;
    use std::ptr::NonNull;

    #[repr(align(16))]
    struct Block;

    #[test]
    fn names_the_oldest() {
        let mut block = Block;
        let address = NonNull::from(&mut block);
        let member = |tick| Word::member(address, Tag::of_hash(77), Stamp::of_tick(tick));
        let shadow = member(2).to_shadow();
        let words = [member(60), Word::EMPTY, member(5), Word::moved(address), member(5), shadow];
        let table: Box<Table<Block>> = Table::new(2).unwrap();
        for (slot, &word) in words.iter().enumerate() {
            table.bucket(0).exchange(slot, Word::EMPTY, word);
        }
        let oldest = |tick| table.oldest_in(0, tick).map(|one| (one.position.slot, one.age));
        assert_eq!(oldest(64 + 6), Some((0, 10)));
        assert_eq!(oldest(30), Some((0, 34)));
        assert_eq!(oldest(58), Some((5, 56)), "a shadow is the oldest word");
        let set = table.set(&table.probe(0));
        let seen = table.oldest_in(0, 58);
        assert_eq!(set.search(set.groups(), &[1, 0], 58), seen, "the first that was seen");
        let slot = |tick| {
            let oldest = set.oldest(&[1], &|| tick).ok().flatten();
            oldest.map(|member| member.0.position.slot)
        };
        assert_eq!(slot(58), Some(2), "the first of the oldest members");
        let first = Occupied::of(table.at(SlotIndex { bucket: 0, slot: 2 }));
        first.unwrap().touch(58);
        assert_eq!(slot(58), Some(4));
        assert_eq!(table.oldest_in(1, 9), None);
    }
}
