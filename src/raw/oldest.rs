//! The oldest member of some buckets, and the newest of a crowd.
#![forbid(unsafe_code)]

use super::bucket::SLOTS;
use super::group::{Group, OldestSearch};
use super::lanes::{Oldest, RANKED_MAX};
use super::set::SetRef;
use super::slot::{Occupied, SlotIndex};
use super::table::Table;
use super::word::{Pattern, Tag};

/// Buckets beside a set that can be ranked with it.
pub(crate) const OTHERS_MAX: usize = RANKED_MAX - 2;

/// The oldest member of some buckets, as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OldestCandidate {
    pub(crate) position: SlotIndex,
    /// In ticks.
    pub(crate) age: usize,
}

impl<'g, B> SetRef<'g, B> {
    /// Whether a slot is in the set.
    #[inline(always)]
    pub(crate) fn covers(&self, position: SlotIndex) -> bool {
        self.set.buckets.contains(&position.bucket)
    }

    /// The member that was stored last of those with a tag in a full set, if they are more than
    /// chance brings together: one id in many contexts. It goes for the next of them, lest they
    /// push out all others.
    #[cold]
    pub(crate) fn latest_of_crowd(&self, tag: Tag, tick: usize) -> Option<Occupied<'g, B>> {
        let pattern = Pattern::member(tag);
        let slots =
            (0..SLOTS).flat_map(|slot| self.set.buckets.map(|bucket| SlotIndex { bucket, slot }));
        let slots = slots.map(|position| self.table.at(position));
        let crowd = slots.filter(|slot| slot.word.fits(pattern)).map(Occupied);
        let mut size = 0;
        // Of several that seem to be the latest, the last: slots fill in this order.
        let age = |one: &Occupied<'g, B>| one.stamp().age(tick);
        let later = |one, other| if age(&other) <= age(&one) { other } else { one };
        let latest = crowd.inspect(|_| size += 1).reduce(later);
        latest.filter(|_| size > SLOTS / 2)
    }

    /// The oldest member of the set and of at most [`OTHERS_MAX`] buckets more.
    #[inline(always)]
    pub(crate) fn oldest(&self, others: &[usize], tick: usize) -> Option<OldestCandidate> {
        let mut search = OldestSearch::new(tick);
        self.groups().into_iter().for_each(|group| search.see(group));
        others.iter().take(OTHERS_MAX).for_each(|&bucket| search.see(self.table.group(bucket)));
        let oldest = search.oldest();
        let bucket = match oldest.nth() {
            nth @ 0..=1 => self.set.buckets[nth],
            nth => *others.get(nth - 2)?,
        };
        OldestCandidate::of(oldest, bucket)
    }
}

impl OldestCandidate {
    /// The number of its bucket.
    pub(crate) fn bucket(&self) -> usize {
        self.position.bucket
    }

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

    /// The oldest member of one bucket.
    #[inline]
    pub(crate) fn oldest_in(&self, bucket: usize, tick: usize) -> Option<OldestCandidate> {
        let mut search = OldestSearch::new(tick);
        search.see(self.group(bucket));
        OldestCandidate::of(search.oldest(), bucket)
    }

    /// The member that was seen as the oldest, unless it has left or was used since.
    #[inline(always)]
    pub(crate) fn still(&self, oldest: OldestCandidate, tick: usize) -> Option<Occupied<'_, B>> {
        let member = Occupied::of(self.at(oldest.position))?;
        (member.stamp().age(tick) == oldest.age).then_some(member)
    }
}

#[cfg(test)]
mod tests {
    use super::super::word::{Stamp, Word};
    use super::*;
    use std::ptr::NonNull;

    #[repr(align(16))]
    struct Block;

    #[test]
    fn names_the_oldest_and_the_empty() {
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
        assert_eq!(set.oldest(&[1, 0], 58), table.oldest_in(0, 58), "the first that was seen");
        let seen = table.oldest_in(0, 58).unwrap();
        assert!(table.still(seen, 58).is_some_and(|member| member.0.word == words[2]));
        table.bucket(0).exchange(2, words[2], words[2].touched(Stamp::of_tick(58)));
        assert!(table.still(seen, 58).is_none());
        assert_eq!(table.oldest_in(1, 9), None);
        let free = |hash| table.set(&table.probe(hash)).free().map(|place| place.0.position);
        assert_eq!(free(0), Some(SlotIndex { bucket: 1, slot: 0 }));
        assert_eq!(free(1 << 31), Some(SlotIndex { bucket: 1, slot: 0 }), "whichever is the home");
    }
}
