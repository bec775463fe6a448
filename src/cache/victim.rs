//! Who goes: ages, ranks, and the search for the session that makes room.

use super::add::Newcomer;
use super::departure::Departures;
use super::room::SCRAMBLE;
use super::{At, Guard, SessionCache};
use crate::policy::{Hunt, rank_of_age};
use crate::raw::{Elder, OTHERS_MAX, Rows, SLOTS, Stamp, Table};
use crate::recency::AGE_MAX;
use crate::session::Block;
use crate::sync::untracked::{AtomicUsize, Ordering};
use std::ptr::NonNull;

/// Who makes room.
pub(super) enum Victim<'t, T> {
    /// In the set of the newcomer, which takes the place.
    Here(At<'t, T>),
    /// In another bucket, and where the newcomer goes instead.
    Elsewhere(At<'t, T>, At<'t, T>),
    Nobody,
    /// The one that was chosen has left or was used meanwhile, or the ticks went on, or an expired
    /// one made room: look again.
    Gone,
}

/// Where one thread's walk over the buckets stands, from which it takes samples.
///
/// Buckets hold sessions by chance, so that neighbours are as good a sample as buckets by chance;
/// and the next one can be in the processor's cache before it is needed.
pub(super) struct Hand(AtomicUsize);

impl Default for Hand {
    /// Off the table: the walk begins somewhere by chance, so that threads do not walk side by
    /// side.
    fn default() -> Self {
        Self(AtomicUsize::new(usize::MAX))
    }
}

impl Hand {
    /// The next bucket; `chance` tells where to begin.
    #[inline]
    fn advance<B>(&self, table: &Table<B>, chance: u64) -> usize {
        // ORDERING: Relaxed twice: one thread's own, and a hint.
        let bucket = match self.0.load(Ordering::Relaxed) {
            usize::MAX => table.bucket_at(chance.wrapping_mul(SCRAMBLE)),
            at if at < table.len() => at,
            _ => 0,
        };
        self.0.store(bucket + 1, Ordering::Relaxed);
        table.prefetch(bucket + 1);
        bucket
    }
}

/// Buckets beside the newcomer's own that are looked at for a victim. Measured on traces, share of
/// the hits of an exact list in TLS 1.3 and 1.2: of 20 480 sessions none 99.0 and 98.5 %, one 99.7
/// and 99.7 %, two 99.9 and 99.7 %; of 1024 sessions two 99.8 and 99.6 %, four 99.9 and 99.7 %,
/// eight 100 and 100 %. A bucket costs ten to twenty nanoseconds.
fn samples_for(buckets: usize) -> usize {
    match buckets {
        0..=2 => 0,
        3..=1024 => SAMPLES_MAX,
        _ => 1,
    }
}

/// The same where weights bind: buckets with about as many sessions as are sampled by count.
fn samples_for_weight(buckets: usize, sessions: usize) -> usize {
    let looked_at = if buckets <= 1024 { 20 } else { 15 };
    let needed = (looked_at * buckets).div_ceil(sessions.max(1));
    if buckets <= 2 { 0 } else { needed.saturating_sub(2).clamp(1, 4 * SAMPLES_MAX) }
}

const SAMPLES_MAX: usize = 4;

const _: () = assert!(SAMPLES_MAX <= OTHERS_MAX);

impl<T: Send + Sync + 'static> SessionCache<T> {
    /// Who goes to make room for the newcomer: the first in its set, or in a few buckets more if it
    /// needs a permit.
    ///
    /// Fourteen slots, a quarter of them empty, are a small sample of a cache. More buckets bring
    /// the order closer to that of one list. If the set is full, one of its own must go.
    pub(super) fn victim<'p>(
        &self,
        pin: &'p Guard<'_, T>,
        table: &'p Table<Block<T>>,
        rows: &Rows<'p, Block<T>>,
        newcomer: &Newcomer<T>,
        departures: &mut Departures<T>,
    ) -> Victim<'p, T> {
        let mut others = [0; SAMPLES_MAX];
        let samples = if newcomer.holding.session { 0 } else { samples_for(table.len()) };
        let others = &mut others[..samples];
        let hand = &pin.state().hand;
        others.iter_mut().for_each(|other| *other = hand.advance(table, newcomer.probe.hash()));
        if self.needs_a_close_look(table, newcomer.now) {
            return self.victim_by_date(pin, table, rows, newcomer, others, departures);
        }
        let tick = self.recency.tick();
        let Some(elder) = self.elder(table, rows, others, tick) else { return Victim::Nobody };
        // Others may have stamped so far ahead of the tick that the youngest look old.
        if self.recency.tick().wrapping_sub(tick) > Stamp::AHEAD_MAX {
            return Victim::Gone;
        }
        let still = |elder| table.still(elder, tick);
        if rows.covers(elder.position) {
            return still(elder).map_or(Victim::Gone, Victim::Here);
        }
        match rows.vacancy() {
            Some(empty) => {
                still(elder).map_or(Victim::Gone, |victim| Victim::Elsewhere(victim, empty))
            }
            None => match rows.elder(&[], tick) {
                Some(elder) => still(elder).map_or(Victim::Gone, Victim::Here),
                // Claims alone, which only their claimants can finish.
                None => Victim::Nobody,
            },
        }
    }

    /// The oldest of some buckets, with ages lowered that are about to wrap.
    #[inline(always)]
    fn elder(
        &self,
        table: &Table<Block<T>>,
        rows: &Rows<'_, Block<T>>,
        others: &[usize],
        tick: usize,
    ) -> Option<Elder> {
        let mut elder = rows.elder(others, tick)?;
        // Lowers the ages in each of the buckets at most.
        for _ in 0..2 + others.len() {
            if elder.age <= AGE_MAX {
                break;
            }
            self.rejuvenate(table, elder.position.bucket);
            elder = rows.elder(others, tick)?;
        }
        Some(elder)
    }

    /// Who goes for the weight of the newcomer: the first in its sets and in some buckets more of
    /// each table.
    pub(super) fn victim_for_weight<'p>(
        &self,
        pin: &'p Guard<'_, T>,
        newcomer: &Newcomer<T>,
        keep: Option<NonNull<Block<T>>>,
        departures: &mut Departures<T>,
    ) -> Victim<'p, T> {
        let chain = self.chain(pin);
        let table = chain.oldest();
        let samples = |table: &Table<_>| samples_for_weight(table.len(), self.sessions.out());
        let sample = |table: &Table<_>| pin.state().hand.advance(table, newcomer.probe.hash());
        let few = samples(table);
        let is_simple = keep.is_none() && table.next().is_none() && few <= OTHERS_MAX;
        if is_simple && !self.needs_a_close_look(table, newcomer.now) {
            let mut others = [0; OTHERS_MAX];
            let others = &mut others[..few];
            others.iter_mut().for_each(|bucket| *bucket = sample(table));
            let tick = self.recency.tick();
            let elder = self.elder(table, &table.rows(&newcomer.probe), others, tick);
            let still = |elder| table.still(elder, tick).map_or(Victim::Gone, Victim::Here);
            return elder.map_or(Victim::Nobody, still);
        }
        let mut buckets = chain.tables().flat_map(|table| {
            let others = (0..samples(table)).map(move |_| sample(table));
            let own = table.buckets_of(&newcomer.probe).into_iter();
            own.chain(others).map(move |bucket| (table, bucket))
        });
        let mut hunt = Hunt::new(self.protect_reused);
        self.look_through(pin, &mut buckets, keep, newcomer.now, &mut hunt);
        if !hunt.has_met_expired() && self.sweep_for(pin, table, newcomer, departures) {
            return Victim::Gone;
        }
        hunt.victim().map_or(Victim::Nobody, Victim::Here)
    }

    /// The same where more than age decides.
    #[inline(never)]
    fn victim_by_date<'p>(
        &self,
        pin: &'p Guard<'_, T>,
        table: &'p Table<Block<T>>,
        rows: &Rows<'p, Block<T>>,
        newcomer: &Newcomer<T>,
        others: &[usize],
        departures: &mut Departures<T>,
    ) -> Victim<'p, T> {
        let empty = rows.vacancy();
        let others = if empty.is_some() { others } else { &[] };
        let own = table.buckets_of(&newcomer.probe).into_iter();
        let mut buckets = own.chain(others.iter().copied()).map(|bucket| (table, bucket));
        let mut hunt = Hunt::new(self.protect_reused);
        self.look_through(pin, &mut buckets, None, newcomer.now, &mut hunt);
        // If the set is full one of its own must go, whatever has expired elsewhere.
        if empty.is_some()
            && !hunt.has_met_expired()
            && self.sweep_for(pin, table, newcomer, departures)
        {
            return Victim::Gone;
        }
        match (hunt.victim(), empty) {
            (None, _) => Victim::Nobody,
            (Some(victim), Some(empty)) if !rows.covers(victim.position) => {
                Victim::Elsewhere(victim, empty)
            }
            (Some(victim), _) => Victim::Here(victim),
        }
    }

    /// Lowers ages that are about to wrap in one bucket: what an add does that looks for no victim.
    #[inline]
    pub(super) fn look_after_ages(
        &self,
        pin: &Guard<'_, T>,
        table: &Table<Block<T>>,
        newcomer: &Newcomer<T>,
    ) {
        if self.recency.ages_may_wrap() {
            self.lower_ages(table, pin.state().hand.advance(table, newcomer.probe.hash()));
        }
    }

    /// Lowers the ages in a bucket if one is about to wrap.
    #[inline]
    fn lower_ages(&self, table: &Table<Block<T>>, bucket: usize) {
        if table.elder_in(bucket, self.recency.tick()).is_some_and(|elder| elder.age > AGE_MAX) {
            self.rejuvenate(table, bucket);
        }
    }

    /// Whether more than age decides who goes.
    #[inline]
    pub(super) fn needs_a_close_look(&self, table: &Table<Block<T>>, now: u64) -> bool {
        self.policy.needs_expiry()
            || self.protect_reused
            || table.is_one_set()
            || self.sweeper.may_have_expired(now)
    }

    /// The first to go in these buckets by date, age and use, all but `keep`.
    pub(super) fn first_to_go<'p>(
        &self,
        pin: &'p Guard<'_, T>,
        buckets: &mut dyn Iterator<Item = (&'p Table<Block<T>>, usize)>,
        keep: Option<NonNull<Block<T>>>,
        now: u64,
    ) -> Option<At<'p, T>> {
        let mut hunt = Hunt::new(self.protect_reused);
        self.look_through(pin, buckets, keep, now, &mut hunt);
        hunt.victim()
    }

    /// Shows what is in these buckets, all but `keep`, to a search. Ends with a bucket in which one
    /// has expired, if there are more than two: who goes is clear then.
    fn look_through<'p>(
        &self,
        pin: &'p Guard<'_, T>,
        buckets: &mut dyn Iterator<Item = (&'p Table<Block<T>>, usize)>,
        keep: Option<NonNull<Block<T>>>,
        now: u64,
        hunt: &mut Hunt<At<'p, T>>,
    ) {
        for (table, bucket) in buckets {
            hunt.enter_bucket();
            self.lower_ages(table, bucket);
            for spot in table.bucket_spots(bucket).filter(|spot| spot.word.is_member()) {
                let Some(block) = self.block(pin, &spot) else { continue };
                if keep.is_some_and(|keep| spot.word.holds(keep)) {
                    continue;
                }
                // The tick after the word: a stamp newer than the tick would look old.
                let age = spot.word.stamp().age(self.recency.tick());
                let by_date = self.policy.rank_of_date(block.expires(), now);
                let is_touched = spot.word.is_touched();
                hunt.see(spot, by_date | rank_of_age(age, is_touched), is_touched);
            }
            if hunt.has_met_expired() && !table.is_one_set() {
                return;
            }
        }
    }

    /// Lowers the ages that are about to wrap. The words change.
    #[cold]
    fn rejuvenate(&self, table: &Table<Block<T>>, bucket: usize) {
        for spot in table.bucket_spots(bucket).filter(|spot| spot.word.is_member()) {
            // After the word: a stamp newer than the tick would look old.
            let tick = self.recency.tick();
            if spot.word.stamp().age(tick) > AGE_MAX {
                // LINEARIZE: nothing: only the age changes.
                spot.exchange(spot.word.restamped(Stamp::of_tick(tick.wrapping_sub(AGE_MAX - 8))));
            }
        }
    }

    /// Renumbers a table of one set before ages wrap. There every placement and use has a tick of
    /// its own, so the order is exact. `tick` is the one just used, and its member is stamped
    /// already.
    #[inline]
    pub(super) fn renumber_if_due(&self, table: &Table<Block<T>>, tick: usize) {
        if tick % (Stamp::PERIOD / 4) == 0 {
            self.renumber(table, tick);
        }
    }

    /// Gives the members of a one-set table the ages 1, 2, 3 … in their order, so that no age ever
    /// wraps.
    #[cold]
    fn renumber(&self, table: &Table<Block<T>>, tick: usize) {
        let mut members = [None; 2 * SLOTS];
        let spots = (0..table.len()).flat_map(|bucket| table.bucket_spots(bucket));
        for (place, spot) in members.iter_mut().zip(spots) {
            *place = Some(spot).filter(|spot| spot.word.is_member());
        }
        members.sort_unstable_by_key(|spot| {
            spot.map(|spot| (spot.word.stamp().age(tick), !spot.word.is_touched()))
        });
        for (rank, spot) in members.iter().flatten().enumerate() {
            // LINEARIZE: nothing: only the age changes.
            spot.exchange(spot.word.restamped(Stamp::of_tick(tick.wrapping_sub(rank + 1))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Rejection;
    use crate::session::{Session, SessionId};
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    fn session(n: u64) -> Session<u64> {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        Session::new(SessionId::from(bytes), n)
    }

    fn cache(capacity: usize) -> SessionCache<u64> {
        SessionCache::new(capacity).unwrap()
    }

    #[test]
    fn the_hand_comes_past_every_bucket() {
        let table: Box<Table<Block<u64>>> = Table::new(10).unwrap();
        let hand = Hand::default();
        let mut seen = [0; 10];
        (0..100).for_each(|_| seen[hand.advance(&table, 12345)] += 1);
        assert_eq!(seen, [10; 10]);
    }

    /// Every slot of the newcomer's set is the claim of a thread that sleeps, and there is no
    /// permit.
    #[test]
    fn an_add_does_not_wait_for_claims() {
        let cache = Arc::new(cache(28));
        let newcomer = session(u64::MAX);
        let pin = cache.domain.pin();
        let table = cache.chain(&pin).newest();
        let probe = cache.probe_of(newcomer.block());
        let set = table.buckets_of(&probe);
        let is_elsewhere = |one: &Session<u64>| {
            table
                .buckets_of(&cache.probe_of(one.block()))
                .iter()
                .all(|bucket| !set.contains(bucket))
        };
        (0..)
            .map(session)
            .filter(is_elsewhere)
            .take(28)
            .for_each(|one| assert!(cache.add(one).is_ok_and(|added| added.changed())));
        let spots: Vec<_> = table.set_spots(&probe).collect();
        for (nth, spot) in spots.iter().enumerate() {
            let home = table.settle(&probe, &cache.finish(&pin)).unwrap();
            let block = session(nth as u64).into_address();
            assert!(spot.claim(block, probe.tag(), 100 + nth, home).is_some());
        }
        let (ended, end) = mpsc::channel();
        let adder = Arc::clone(&cache);
        std::thread::spawn(move || ended.send(adder.add(newcomer)));
        let added = end.recv_timeout(Duration::from_secs(5)).expect("the add goes on for ever");
        assert!(
            added.as_ref().is_err_and(|rejected| rejected.reason() == Rejection::Contention),
            "{added:?}"
        );
        for spot in table.set_spots(&probe) {
            // SAFETY: the block's one count was the claim's.
            spot.block()
                .into_iter()
                .for_each(|block| drop(unsafe { Session::from_address(block) }));
            assert!(spot.exchange(crate::raw::Word::EMPTY));
        }
    }

    /// All are about to wrap, and none was met for a long time: replacements tick and look for no
    /// victim.
    #[test]
    fn an_add_lowers_the_ages_of_its_own_buckets_and_no_more() {
        let cache = cache(20_480);
        (0..20_480).for_each(|n| assert!(cache.add(session(n)).is_ok_and(|added| added.changed())));
        let begin = cache.recency.tick();
        while cache.recency.tick() < begin + AGE_MAX + 4 {
            assert!(cache.add(session(0)).is_ok_and(|added| added.changed()));
        }
        let hand = |cache: &SessionCache<u64>| {
            let pin = cache.domain.pin();
            // ORDERING: Relaxed: one thread.
            pin.state().hand.0.load(Ordering::Relaxed)
        };
        for n in 20_480..20_500 {
            let before = hand(&cache);
            assert!(cache.add(session(n)).is_ok_and(|added| added.changed()));
            let steps = hand(&cache).wrapping_sub(before);
            assert!(before == usize::MAX || steps <= 2 || steps > 20_480, "{steps} searches");
        }
    }

    /// What goes for the sake of weight makes room as well as what is displaced.
    #[test]
    fn evictions_by_weight_do_not_stop_the_ticks() {
        let builder =
            SessionCache::builder().capacity(1000).weigher(|_: &Session<u64>| 1).max_weight(900);
        let cache = builder.build().unwrap();
        (0..20_000).for_each(|n| assert!(cache.add(session(n)).is_ok_and(|added| added.changed())));
        assert!(cache.recency.tick() > 600);
        let oldest = cache.iter().map(|one| *one).min().unwrap();
        assert!(oldest > 16_000, "{oldest} is still there");
    }

    /// Else they would wrap soon, and look young.
    #[test]
    fn ages_that_are_lowered_are_below_the_largest() {
        let cache = cache(100);
        (0..50).for_each(|n| assert!(cache.add(session(n)).is_ok_and(|added| added.changed())));
        (0..=AGE_MAX).for_each(|_| _ = cache.recency.advance());
        let pin = cache.domain.pin();
        let (table, tick) = (cache.chain(&pin).newest(), cache.recency.tick());
        for bucket in 0..table.len() {
            cache.lower_ages(table, bucket);
            let members = table.bucket_spots(bucket).filter(|spot| spot.word.is_member());
            let ages: Vec<_> = members.map(|spot| spot.word.stamp().age(tick)).collect();
            assert!(ages.iter().all(|&age| age <= AGE_MAX), "{ages:?}");
        }
    }
}
