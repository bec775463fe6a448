//! What adds ask of whole buckets: where there is room, and who is the oldest.
#![forbid(unsafe_code)]

use super::bucket::SLOTS;
use super::look::{self, Look, Oldest, RANKED_MAX, Ranking};
use super::set::{Position, Rows, Spot};
use super::table::Table;
use super::word::{Pattern, Tag, Word};

/// Buckets beside a set that can be ranked with it.
pub(crate) const OTHERS_MAX: usize = RANKED_MAX - 2;

/// The oldest member of some buckets, as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Elder {
    pub(crate) position: Position,
    /// In ticks.
    pub(crate) age: usize,
}

impl<'t, B> Rows<'t, B> {
    /// An empty slot of the emptier bucket, of the home on a tie.
    #[inline(always)]
    pub(crate) fn vacancy(&self) -> Option<Spot<'t, B>> {
        let (side, slot) = look::vacancy(Look::vacancies(self.looks()))?;
        Some(self.table.spot(self.set.buckets[side], slot, Word::EMPTY))
    }

    /// Whether a position is in the set.
    #[inline(always)]
    pub(crate) fn covers(&self, position: Position) -> bool {
        self.set.buckets.contains(&position.bucket)
    }

    /// The member that was stored last of those with a tag in a full set, if they are more than
    /// chance brings together: one id in many contexts. It goes for the next of them, lest they
    /// push out all others.
    #[cold]
    pub(crate) fn latest_of_crowd(&self, tag: Tag, tick: usize) -> Option<Spot<'t, B>> {
        let pattern = Pattern::member(tag);
        let spots =
            (0..SLOTS).flat_map(|slot| self.set.buckets.map(|bucket| Position { bucket, slot }));
        let crowd =
            spots.map(|position| self.table.at(position)).filter(|spot| spot.word.fits(pattern));
        let mut size = 0;
        // Of several that seem to be the latest, the last: slots fill in this order.
        let age = |spot: &Spot<'t, B>| spot.word.stamp().age(tick);
        let later = |one, other| if age(&other) <= age(&one) { other } else { one };
        let latest = crowd.inspect(|_| size += 1).reduce(later);
        latest.filter(|_| size > SLOTS / 2)
    }

    /// The oldest member of the set and of at most [`OTHERS_MAX`] buckets more.
    #[inline(always)]
    pub(crate) fn elder(&self, others: &[usize], tick: usize) -> Option<Elder> {
        let mut ranking = Ranking::new(tick);
        self.looks().into_iter().for_each(|look| ranking.see(look));
        others.iter().take(OTHERS_MAX).for_each(|&bucket| ranking.see(self.table.look(bucket)));
        let oldest = ranking.oldest();
        let bucket = match oldest.nth() {
            nth @ 0..=1 => self.set.buckets[nth],
            nth => *others.get(nth - 2)?,
        };
        Elder::of(oldest, bucket)
    }
}

impl Elder {
    #[inline(always)]
    fn of(oldest: Oldest, bucket: usize) -> Option<Self> {
        let position = Position { bucket, slot: oldest.slot() };
        oldest.is_somebody().then(|| Self { position, age: oldest.age() })
    }
}

impl<B> Table<B> {
    #[inline(always)]
    fn look(&self, bucket: usize) -> Look {
        Look::at(self.bucket(bucket))
    }

    /// The oldest member of one bucket.
    #[inline]
    pub(crate) fn elder_in(&self, bucket: usize, tick: usize) -> Option<Elder> {
        let mut ranking = Ranking::new(tick);
        ranking.see(self.look(bucket));
        Elder::of(ranking.oldest(), bucket)
    }

    /// The member that was seen as the oldest, unless it has left or was used since.
    #[inline]
    pub(crate) fn still(&self, elder: Elder, tick: usize) -> Option<Spot<'_, B>> {
        let spot = self.at(elder.position);
        (spot.word.is_member() && spot.word.stamp().age(tick) == elder.age).then_some(spot)
    }
}

#[cfg(test)]
mod tests {
    use super::super::word::Stamp;
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
        let elder = |tick| table.elder_in(0, tick).map(|elder| (elder.position.slot, elder.age));
        assert_eq!(elder(64 + 6), Some((0, 10)));
        assert_eq!(elder(30), Some((0, 34)));
        assert_eq!(elder(58), Some((2, 53)));
        let rows = table.rows(&table.probe(0));
        assert_eq!(rows.elder(&[1, 0], 58), table.elder_in(0, 58), "the first that was seen");
        let seen = table.elder_in(0, 58).unwrap();
        assert!(table.still(seen, 58).is_some_and(|spot| spot.word == words[2]));
        table.bucket(0).exchange(2, words[2], words[2].touched(Stamp::of_tick(58)));
        assert!(table.still(seen, 58).is_none());
        assert_eq!(table.elder_in(1, 9), None);
        let vacancy = |hash| table.rows(&table.probe(hash)).vacancy().map(|spot| spot.position);
        assert_eq!(vacancy(0), Some(Position { bucket: 1, slot: 0 }));
        assert_eq!(
            vacancy(1 << 31),
            Some(Position { bucket: 1, slot: 0 }),
            "whichever is the home"
        );
    }
}
