//! The oldest member of some buckets, and the newest of a crowd.
#![forbid(unsafe_code)]

use super::ages::is_about_to_wrap;
use super::group::{Group, OldestSearch};
use super::lanes::{Oldest, RANKED_MAX};
use super::set::{Probe, SetRef};
use super::slot::{Occupied, SlotIndex};
use super::table::{SLOTS, Table};
use super::word::{Pattern, Stamp};

/// The oldest member of some buckets, as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OldestCandidate {
    position: SlotIndex,
    /// In ticks.
    pub(super) age: usize,
}

/// The oldest member has left or was used meanwhile, or the ticks went on: look again.
pub(crate) struct Stale;

impl<'g, B> SetRef<'g, B> {
    /// The member that was stored last of those with the tag of a key, if they are more than
    /// chance brings together: one id in many contexts. It goes for the next of them, lest they
    /// push out all others.
    #[cold]
    pub(crate) fn latest_of_crowd(&self, probe: &Probe, tick: usize) -> Option<Occupied<'g, B>> {
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
    pub(crate) fn covers(&self, member: &Occupied<'g, B>) -> bool {
        self.set.buckets.contains(&member.0.position.bucket)
    }

    /// The oldest member of the set and of at most [`OTHERS_MAX`](Table::OTHERS_MAX) buckets more;
    /// `None` if they have no member. Lowers ages that are about to wrap.
    #[inline(always)]
    pub(crate) fn oldest(
        &self,
        others: &[usize],
        clock: &impl Fn() -> usize,
    ) -> Result<Option<Occupied<'g, B>>, Stale> {
        let (table, tick) = (self.table, clock());
        let Some(mut oldest) = self.search(others, tick) else { return Ok(None) };
        // Lowers the ages in each of the buckets at most.
        for _ in 0..2 + others.len() {
            if !is_about_to_wrap(oldest.age) {
                break;
            }
            table.rejuvenate(oldest.position.bucket, clock);
            let Some(next) = self.search(others, tick) else { return Ok(None) };
            oldest = next;
        }
        // Others may have stamped so far ahead of the tick that the youngest look old.
        if clock().wrapping_sub(tick) > Stamp::AHEAD_MAX {
            return Err(Stale);
        }
        table.still(oldest, tick).map(Some).ok_or(Stale)
    }

    #[inline(always)]
    fn search(&self, others: &[usize], tick: usize) -> Option<OldestCandidate> {
        let mut search = OldestSearch::new(tick);
        self.groups().into_iter().for_each(|group| search.see(group));
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

    /// The oldest member of one bucket.
    #[inline]
    pub(super) fn oldest_in(&self, bucket: usize, tick: usize) -> Option<OldestCandidate> {
        let mut search = OldestSearch::new(tick);
        search.see(self.group(bucket));
        OldestCandidate::of(search.oldest(), bucket)
    }

    /// The member that was seen as the oldest, unless it has left or was used since.
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
        assert_eq!(oldest(58), Some((2, 53)));
        let set = table.set(&table.probe(0));
        assert_eq!(set.search(&[1, 0], 58), table.oldest_in(0, 58), "the first that was seen");
        let seen = table.oldest_in(0, 58).unwrap();
        assert!(table.still(seen, 58).is_some_and(|member| member.0.word == words[2]));
        table.bucket(0).exchange(2, words[2], words[2].touched(Stamp::of_tick(58)));
        assert!(table.still(seen, 58).is_none());
        assert_eq!(table.oldest_in(1, 9), None);
    }
}
