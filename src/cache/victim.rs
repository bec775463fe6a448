//! Who goes for an insertion.
#![forbid(unsafe_code)]

use super::eviction::{OTHERS_MAX, SAMPLES_MAX, samples_for, samples_for_weight};
use super::operation::Operation;
use super::reserve::Setback;
use crate::raw::{Occupied, Place, Probe, Table, Vacant};
use crate::session::Block;
use std::ptr::NonNull;

/// Who makes room.
pub(super) enum Victim<'g, T> {
    /// A session of the set, whose slot the new one takes.
    InSet(Occupied<'g, Block<T>>),
    /// A session of another bucket, and the free slot that the new one takes.
    Sampled(Occupied<'g, Block<T>>, Place<'g, Block<T>>),
    None,
    /// The ticks went on, the table grew, or an expired one made room: look again.
    Stale,
}

impl<T: Send + Sync + 'static> Operation<'_, T> {
    /// The oldest of the set of a key and of a few buckets more.
    ///
    /// Fourteen slots, a quarter of them empty, are a small sample of a cache. More buckets bring
    /// the order closer to that of one list.
    #[inline(always)]
    pub(super) fn oldest_of_sample<'g>(
        &self,
        vacant: Vacant<'g, Block<T>>,
        probe: &Probe,
    ) -> Result<Option<Occupied<'g, Block<T>>>, Setback> {
        let mut places = [0; SAMPLES_MAX];
        let others = self.sample(vacant.table(), probe, &mut places);
        let oldest = vacant.oldest(others, &|| self.cache().eviction.clock.tick());
        oldest.map_err(|_| Setback::Retry)
    }

    /// The buckets beside its set that are searched for a key, in a part of `places`.
    #[inline(always)]
    fn sample<'o>(
        &self,
        table: &Table<Block<T>>,
        probe: &Probe,
        places: &'o mut [usize; SAMPLES_MAX],
    ) -> &'o [usize] {
        let others = &mut places[..samples_for(table.len())];
        let cursor = &self.thread().sample_cursor;
        others.iter_mut().for_each(|other| *other = cursor.advance(table, probe.hash()));
        others
    }

    /// Who goes to make room for a key where more than age decides, or from a full set: one of its
    /// own must go then.
    pub(super) fn victim<'g>(
        &'g self,
        vacant: Vacant<'g, Block<T>>,
        probe: &Probe,
        has_permit: bool,
        now: u64,
    ) -> Victim<'g, T> {
        let table = vacant.table();
        let eviction = &self.cache().eviction;
        if eviction.needs_expiry_scan(table, now) {
            let mut places = [0; SAMPLES_MAX];
            let others = if has_permit { &[] } else { self.sample(table, probe, &mut places) };
            return self.victim_by_date(vacant, probe, others, now);
        }
        match vacant.set().oldest(&[], &|| eviction.clock.tick()) {
            Ok(Some(victim)) => Victim::InSet(victim),
            // Claims alone, which only their claimants can finish.
            Ok(None) => Victim::None,
            Err(_) => Victim::Stale,
        }
    }

    /// The same where more than age decides.
    #[inline(never)]
    fn victim_by_date<'g>(
        &'g self,
        vacant: Vacant<'g, Block<T>>,
        probe: &Probe,
        others: &[usize],
        now: u64,
    ) -> Victim<'g, T> {
        let (table, set) = (vacant.table(), vacant.set());
        let free = set.free();
        let others = if free.is_some() { others } else { &[] };
        let own = table.buckets_of(probe).into_iter();
        let mut buckets = own.chain(others.iter().copied()).map(|bucket| (table, bucket));
        let search = self.cache().eviction.search(&mut buckets, None, now);
        // If the set is full one of its own must go, whatever has expired elsewhere.
        if free.is_some() && !search.has_met_expired() && self.sweep_for_room(table, now) {
            return Victim::Stale;
        }
        match (search.victim(), free) {
            (None, _) => Victim::None,
            (Some(victim), Some(free)) if !set.covers(&victim) => Victim::Sampled(victim, free),
            (Some(victim), _) => Victim::InSet(victim),
        }
    }

    /// Who goes for the weight of a session: the first in its sets and in some buckets more of each
    /// table, but never `keep`.
    pub(super) fn victim_for_weight<'g>(
        &'g self,
        probe: &Probe,
        keep: Option<NonNull<Block<T>>>,
        now: u64,
    ) -> Victim<'g, T> {
        let (cache, table) = (self.cache(), self.oldest_table());
        let eviction = &cache.eviction;
        let stored = cache.budget.permits.out();
        let samples = |table: &Table<_>| samples_for_weight(table.len(), stored);
        let sample = |table: &Table<_>| self.thread().sample_cursor.advance(table, probe.hash());
        let few = samples(table);
        let is_simple = keep.is_none() && table.next().is_none() && few <= OTHERS_MAX;
        if is_simple && !eviction.needs_expiry_scan(table, now) {
            let mut others = [0; OTHERS_MAX];
            let others = &mut others[..few];
            others.iter_mut().for_each(|bucket| *bucket = sample(table));
            return match table.set(probe).oldest(others, &|| eviction.clock.tick()) {
                Ok(victim) => victim.map_or(Victim::None, Victim::InSet),
                Err(_) => Victim::Stale,
            };
        }
        let mut buckets = table.chain().flat_map(|table| {
            let others = (0..samples(table)).map(move |_| sample(table));
            table.buckets_of(probe).into_iter().chain(others).map(move |bucket| (table, bucket))
        });
        let search = eviction.search(&mut buckets, keep, now);
        if !search.has_met_expired() && self.sweep_for_room(table, now) {
            return Victim::Stale;
        }
        search.victim().map_or(Victim::None, Victim::InSet)
    }

    /// Lowers ages that are about to wrap in one bucket: what an add does that looks for no victim.
    #[inline]
    pub(super) fn look_after_ages(&self, table: &Table<Block<T>>, hash: u64) {
        let eviction = &self.cache().eviction;
        if Table::<Block<T>>::ages_may_wrap(eviction.clock.tick()) {
            let bucket = self.thread().sample_cursor.advance(table, hash);
            table.lower_ages(bucket, &|| eviction.clock.tick());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SessionCache;
    use crate::error::Rejection;
    use crate::raw::Entry;
    use crate::session::{Session, SessionId};
    use crate::sync::untracked::Ordering;
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    const SLOTS: usize = Table::<Block<u64>>::SLOTS;
    const AGE_MAX: usize = Table::<Block<u64>>::AGE_MAX;

    fn session(n: u64) -> Session<u64> {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        Session::new(SessionId::from(bytes), n)
    }

    fn cache(capacity: usize) -> SessionCache<u64> {
        SessionCache::new(capacity).unwrap()
    }

    /// Every slot of the newcomer's set is the claim of a thread that sleeps, and there is no
    /// permit.
    #[test]
    fn an_add_does_not_wait_for_claims() {
        let cache = Arc::new(cache(28));
        let newcomer = session(u64::MAX);
        let operation = Operation::begin(&cache);
        let table = operation.oldest_table();
        let probe = cache.probe_of(newcomer.block());
        let buckets_of = |probe: &Probe| table.buckets_of(probe);
        let set = buckets_of(&probe);
        let is_elsewhere = |one: &Session<u64>| {
            buckets_of(&cache.probe_of(one.block())).iter().all(|bucket| !set.contains(bucket))
        };
        (0..)
            .map(session)
            .filter(is_elsewhere)
            .take(28)
            .for_each(|one| assert!(cache.add(one).is_ok_and(|added| added.changed())));
        let entry = table.entry(&probe, &operation.member_of_claim(), |_| false);
        let Entry::Vacant(vacant) = entry else { panic!("nothing is stored") };
        let mut claims = Vec::new();
        while let Some(free) = vacant.set().free() {
            let n = claims.len();
            let claimed = session(n as u64);
            let claim = vacant.claim(free, claimed.address(), &probe, 100 + n);
            let Some((claim, None)) = claim else { panic!("the slot is empty") };
            claims.push((claim, claimed));
        }
        assert_eq!(claims.len(), 2 * SLOTS);
        let (ended, end) = mpsc::channel();
        let adder = Arc::clone(&cache);
        std::thread::spawn(move || ended.send(adder.add(newcomer)));
        let added = end.recv_timeout(Duration::from_secs(5)).expect("the add goes on for ever");
        assert!(
            added.as_ref().is_err_and(|rejected| rejected.reason() == Rejection::Contention),
            "{added:?}"
        );
        // The handles kept the count that would be the table's.
        claims.into_iter().for_each(|(claim, _)| assert!(claim.withdraw()));
    }

    /// All are about to wrap, and none was met for a long time: replacements tick and look for no
    /// victim.
    #[test]
    fn an_add_lowers_the_ages_of_its_own_buckets_and_no_more() {
        let cache = cache(20_480);
        (0..20_480).for_each(|n| assert!(cache.add(session(n)).is_ok_and(|added| added.changed())));
        let begin = cache.eviction.clock.tick();
        while cache.eviction.clock.tick() < begin + AGE_MAX + 4 {
            assert!(cache.add(session(0)).is_ok_and(|added| added.changed()));
        }
        let cursor = |cache: &SessionCache<u64>| {
            // ORDERING: Relaxed: one thread.
            Operation::begin(cache).thread().sample_cursor.0.load(Ordering::Relaxed)
        };
        for n in 20_480..20_500 {
            let before = cursor(&cache);
            assert!(cache.add(session(n)).is_ok_and(|added| added.changed()));
            let steps = cursor(&cache).wrapping_sub(before);
            assert!(before == usize::MAX || steps <= 2 || steps > 20_480, "{steps} searches");
        }
    }

    /// What goes for the sake of weight makes room as well as what is displaced, also where a heavy
    /// one evicts several.
    #[test]
    fn evictions_by_weight_do_not_slow_the_ticks() {
        let weight = |one: &Session<u64>| **one as usize % 3 + 1;
        let builder = SessionCache::builder().capacity(1000).weigher(weight).max_weight(900);
        let cache = builder.build().unwrap();
        (0..20_000).for_each(|n| assert!(cache.add(session(n)).is_ok_and(|added| added.changed())));
        // About 450 are stored, so that 14 adds are a tick.
        let ticks = cache.eviction.clock.tick();
        assert!((1300..1550).contains(&ticks), "{ticks} ticks");
        let oldest = cache.iter().map(|one| *one).min().unwrap();
        assert!(oldest > 16_000, "{oldest} is still there");
    }

    /// Else they would wrap soon, and look young.
    #[test]
    fn ages_that_are_lowered_are_below_the_largest() {
        let cache = cache(100);
        (0..50).for_each(|n| assert!(cache.add(session(n)).is_ok_and(|added| added.changed())));
        (0..=AGE_MAX).for_each(|_| _ = cache.eviction.clock.advance());
        let operation = Operation::begin(&cache);
        let (table, tick) = (operation.oldest_table(), cache.eviction.clock.tick());
        for bucket in 0..table.len() {
            table.lower_ages(bucket, &|| cache.eviction.clock.tick());
            let members = table.members(bucket);
            let ages: Vec<_> = members.map(|member| member.age(tick)).collect();
            assert!(ages.iter().all(|&age| age <= AGE_MAX), "{ages:?}");
        }
    }
}
