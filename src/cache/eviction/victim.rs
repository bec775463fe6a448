//! The search for the session that makes room: ages, ranks, samples.
#![forbid(unsafe_code)]

use super::Eviction;
use crate::policy::{VictimSearch, rank_of_age};
use crate::raw::{Occupied, Table};
use crate::session::Block;
use crate::sync::untracked::{AtomicUsize, Ordering};
use std::ptr::NonNull;

/// Where one thread's walk over the buckets stands, from which it takes samples.
///
/// Sessions are spread over buckets at random, so that neighbours are as good a sample as random
/// buckets; and the next one can be in the processor's cache before it is needed.
pub(in crate::cache) struct SampleCursor(pub(in crate::cache) AtomicUsize);

impl Default for SampleCursor {
    /// Off the table: the walk begins at a random bucket, so that threads do not walk side by side.
    fn default() -> Self {
        Self(AtomicUsize::new(usize::MAX))
    }
}

/// Fibonacci hashing: 2^64 divided by the golden ratio.
pub(in crate::cache) const GOLDEN_RATIO_64: u64 = 0x9E37_79B9_7F4A_7C15;

impl SampleCursor {
    /// The next bucket; `hash` tells where to begin.
    #[inline]
    pub(in crate::cache) fn advance<B>(&self, table: &Table<B>, hash: u64) -> usize {
        // ORDERING: Relaxed twice: one thread's own, and a hint.
        let bucket = match self.0.load(Ordering::Relaxed) {
            usize::MAX => table.pick_bucket(hash.wrapping_mul(GOLDEN_RATIO_64)),
            at if at < table.len() => at,
            _ => 0,
        };
        self.0.store(bucket + 1, Ordering::Relaxed);
        table.prefetch(bucket + 1);
        bucket
    }
}

/// Buckets beside the set of the key that are searched for a victim. Measured on traces, share of
/// the hits of an exact list in TLS 1.3 and 1.2: of 20 480 sessions none 99.0 and 98.5 %, one 99.7
/// and 99.7 %, two 99.9 and 99.7 %; of 1024 sessions two 99.8 and 99.6 %, four 99.9 and 99.7 %,
/// eight 100 and 100 %. A bucket costs ten to twenty nanoseconds.
pub(in crate::cache) fn samples_for(buckets: usize) -> usize {
    if buckets > 1024 {
        1
    } else if buckets > 2 {
        SAMPLES_MAX
    } else {
        0
    }
}

/// The same where weights bind: buckets with about as many sessions as are sampled by count.
pub(in crate::cache) fn samples_for_weight(buckets: usize, sessions: usize) -> usize {
    let looked_at = if buckets <= 1024 { 20 } else { 15 };
    let needed = (looked_at * buckets).div_ceil(sessions.max(1));
    if buckets <= 2 { 0 } else { needed.saturating_sub(2).clamp(1, 4 * SAMPLES_MAX) }
}

pub(in crate::cache) const SAMPLES_MAX: usize = 4;

/// The most buckets that a search by age alone looks at beside a set.
pub(in crate::cache) const OTHERS_MAX: usize = Table::<Block<()>>::OTHERS_MAX;

const _: () = assert!(SAMPLES_MAX <= OTHERS_MAX);

impl Eviction {
    /// The first to go of a bucket by date, age and use, but not `keep`.
    pub(in crate::cache) fn first_to_go<'g, T>(
        &self,
        table: &'g Table<Block<T>>,
        bucket: usize,
        keep: Option<NonNull<Block<T>>>,
        now: u64,
    ) -> Option<Occupied<'g, Block<T>>> {
        self.search(&mut std::iter::once((table, bucket)), keep, now).victim()
    }

    /// Ranks what is in these buckets, all but `keep`. Ends with a bucket in which one has expired,
    /// if there are more than two: who goes is clear then.
    pub(in crate::cache) fn search<'g, T>(
        &self,
        buckets: &mut dyn Iterator<Item = (&'g Table<Block<T>>, usize)>,
        keep: Option<NonNull<Block<T>>>,
        now: u64,
    ) -> VictimSearch<Occupied<'g, Block<T>>> {
        let mut search = VictimSearch::new(self.protect_reused);
        for (table, bucket) in buckets {
            search.enter_bucket();
            table.lower_ages(bucket, &|| self.clock.tick());
            for member in table.members(bucket) {
                if keep.is_some_and(|keep| member.holds(keep)) {
                    continue;
                }
                // The tick after the word: a stamp newer than the tick would look old.
                let rank = self.rank(&member, self.clock.tick(), now);
                search.see(member, rank, member.is_touched());
            }
            if search.has_met_expired() && !table.is_one_set() {
                break;
            }
        }
        search
    }

    /// Where a member stands in the order of eviction at a tick.
    pub(in crate::cache) fn rank<T>(
        &self,
        member: &Occupied<'_, Block<T>>,
        tick: usize,
        now: u64,
    ) -> u64 {
        let age = member.age(tick);
        let by_date = self.policy.rank_of_date(member.block().expires(), now);
        by_date | rank_of_age(age, member.is_touched())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_comes_past_every_bucket() {
        let table: Box<Table<Block<u64>>> = Table::new(10).unwrap();
        let cursor = SampleCursor::default();
        let mut seen = [0; 10];
        (0..100).for_each(|_| seen[cursor.advance(&table, 12345)] += 1);
        assert_eq!(seen, [10; 10]);
    }
}
