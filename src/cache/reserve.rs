//! What an insertion needs before it may have a slot: garbage, a permit, weight, a victim.
#![forbid(unsafe_code)]

use super::budget::{Permit, Reservation};
use super::eviction::GOLDEN_RATIO_64;
use super::operation::Operation;
use super::victim::Victim;
use crate::error::{Rejection, RemovalCause};
use crate::hint::{likely, unlikely};
use crate::raw::{Occupied, Place, Probe, Table, Unlinked, Vacant};
use crate::session::{Block, Session};
use std::ptr::NonNull;

/// An insertion under way.
pub(super) struct PendingInsert<'s, T> {
    pub(super) session: &'s Session<T>,
    pub(super) probe: &'s Probe,
    pub(super) now: u64,
    /// The number by which it claims slots.
    pub(super) claimant: usize,
    pub(super) reservation: Reservation,
    /// Attempts that found every slot, or every permit, in other hands; those that found nobody to
    /// evict for weight.
    pub(super) attempts: u32,
    pub(super) starved: u32,
}

/// Why an attempt did not store its session.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Setback {
    /// Something changed meanwhile: try again.
    Retry,
    Rejected(Rejection),
}

impl From<Rejection> for Setback {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

/// Attempts before an `add` that finds nothing but other threads' claims gives up.
const ATTEMPTS_MAX: u32 = 64;

/// When the cache is full, every so manieth add of a thread (or as there are threads, if that is
/// more), the first included, reclaims other threads' unused permits. Without this, threads would
/// evict sessions while permits are still available.
const ADDS_PER_SCAVENGE: u64 = 16;

impl<'s, T> PendingInsert<'s, T> {
    #[inline]
    pub(super) fn address(&self) -> NonNull<Block<T>> {
        self.session.address()
    }
}

impl<T: Send + Sync + 'static> Operation<'_, T> {
    /// Refuses a session that could one day be more garbage than the limit allows.
    #[inline]
    pub(super) fn check_garbage(&self, insert: &PendingInsert<'_, T>) -> Result<(), Rejection> {
        let (budget, domain) = (&self.cache().budget, &self.cache().domain);
        let limit = budget.garbage_limit();
        // Of what is stored half of the limit counts at most: nearly always that is room enough.
        if likely(!budget.is_weighed() && !domain.may_be_over(limit, limit / 2)) {
            return Ok(());
        }
        self.check_garbage_exactly(&insert.reservation)
    }

    #[inline(never)]
    fn check_garbage_exactly(&self, reservation: &Reservation) -> Result<(), Rejection> {
        let (budget, domain) = (&self.cache().budget, &self.cache().domain);
        let limit = budget.garbage_limit();
        let is_enough = |reserve| !domain.may_be_over(limit, reserve);
        match budget.garbage_reserve(reservation, || domain.threads(), is_enough) {
            Some(reserve) if domain.is_over(limit, reserve) => Err(Rejection::Garbage),
            _ => Ok(()),
        }
    }

    /// Chooses the slot to claim: an empty one if a permit is held, else a victim's, whose permit
    /// passes on.
    pub(super) fn choose_slot<'g>(
        &'g self,
        vacant: Vacant<'g, Block<T>>,
        insert: &mut PendingInsert<'_, T>,
    ) -> Result<Place<'g, Block<T>>, Setback> {
        if !insert.reservation.permit {
            insert.reservation.permit = self.take_permit();
        }
        if insert.reservation.permit {
            if let Some(free) = vacant.free() {
                self.look_after_ages(vacant.table(), insert.probe.hash());
                return Ok(free);
            }
        } else if likely(!self.cache().eviction.needs_expiry_scan(vacant.table(), insert.now)) {
            if let Some(victim) = self.oldest_of_sample(vacant, insert.probe)? {
                if vacant.set().covers(&victim) {
                    return Ok(victim.into());
                }
                if let Some(free) = vacant.free() {
                    return self.evict_sampled(victim, free, insert);
                }
            }
        }
        self.choose_slot_slowly(vacant, insert)
    }

    /// [`choose_slot`](Self::choose_slot) where the set was full or had no member, or more than age
    /// decides.
    #[cold]
    #[inline(never)]
    fn choose_slot_slowly<'g>(
        &'g self,
        vacant: Vacant<'g, Block<T>>,
        insert: &mut PendingInsert<'_, T>,
    ) -> Result<Place<'g, Block<T>>, Setback> {
        let victim = if insert.reservation.permit {
            // It was full when the key was looked for: before weight or a permit was taken, for
            // which a member may have gone.
            if let Some(free) = vacant.set().free() {
                return Ok(free);
            }
            self.victim_of_full_set(vacant, insert)?
        } else {
            self.victim(vacant, insert.probe, false, insert.now)
        };
        match victim {
            Victim::InSet(victim) => return Ok(victim.into()),
            Victim::Sampled(victim, free) => return self.evict_sampled(victim, free, insert),
            Victim::Stale => return Err(Setback::Retry),
            Victim::None => {}
        }
        if !insert.reservation.permit {
            if self.evict_elsewhere(insert, None) {
                return Err(Setback::Retry);
            }
            // Nothing to evict and no permit: threads that are idle now may keep some.
            self.cache().gather_spares();
        }
        Err(Self::back_off(insert))
    }

    /// Evicts a session of another bucket for a free slot, to which its permit passes.
    #[inline]
    fn evict_sampled<'g>(
        &self,
        victim: Occupied<'g, Block<T>>,
        free: Place<'g, Block<T>>,
        insert: &mut PendingInsert<'_, T>,
    ) -> Result<Place<'g, Block<T>>, Setback> {
        let evicted = self.evict(victim, insert.now, Permit::Kept);
        insert.reservation.permit = evicted;
        if evicted { Ok(free) } else { Err(Setback::Retry) }
    }

    /// Every slot or permit is in the hands of adds under way: lets them run, a bounded number of
    /// times.
    fn back_off(insert: &mut PendingInsert<'_, T>) -> Setback {
        insert.attempts += 1;
        if insert.attempts > ATTEMPTS_MAX {
            return Rejection::Contention.into();
        }
        crate::sync::yield_now();
        Setback::Retry
    }

    /// Who goes though there is room elsewhere. Nobody where the table may grow, unless it is too
    /// empty to grow for one crowded set, or cannot, and sessions may be evicted: then the next one
    /// has room.
    #[cold]
    #[inline(never)]
    fn victim_of_full_set<'g>(
        &'g self,
        vacant: Vacant<'g, Block<T>>,
        insert: &PendingInsert<'_, T>,
    ) -> Result<Victim<'g, T>, Rejection> {
        let cache = self.cache();
        if cache.follows_sessions() {
            let grown = self.grow(vacant.table());
            if grown == Ok(true) {
                return Ok(Victim::Stale);
            }
            if cache.budget.is_unbounded() {
                grown?;
            }
        }
        let set = vacant.set();
        let latest = set.latest_of_crowd(insert.probe, cache.eviction.clock.tick());
        let victim = || self.victim(vacant, insert.probe, true, insert.now);
        Ok(latest.map_or_else(victim, Victim::InSet))
    }

    /// Settles the eviction of a member that a claim has displaced.
    pub(super) fn evict_displaced(
        &self,
        displaced: Unlinked<'_, Block<T>>,
        table: &Table<Block<T>>,
        insert: &mut PendingInsert<'_, T>,
    ) {
        let permit = insert.reservation.permit_of_victim();
        insert.reservation.permit = true;
        let cause = self.cause_of(displaced.block(), table, insert.now);
        self.retire(displaced, cause, permit);
    }

    /// Evicts a session for an insertion, which keeps the permit unless it has one.
    fn evict_for(&self, victim: Occupied<'_, Block<T>>, insert: &mut PendingInsert<'_, T>) -> bool {
        let permit = insert.reservation.permit_of_victim();
        let evicted = self.evict(victim, insert.now, permit);
        insert.reservation.permit |= evicted;
        evicted
    }

    fn evict(&self, victim: Occupied<'_, Block<T>>, now: u64, permit: Permit) -> bool {
        // LINEARIZE: the eviction.
        let Some(unlinked) = victim.remove() else { return false };
        let cause = self.cause_of(unlinked.block(), victim.table(), now);
        self.retire(unlinked, cause, permit);
        true
    }

    /// Reads the victim, which may be cold, only if the search did too.
    fn cause_of(&self, block: &Block<T>, table: &Table<Block<T>>, now: u64) -> RemovalCause {
        if unlikely(self.cache().eviction.needs_expiry_scan(table, now)) && block.is_expired(now) {
            RemovalCause::Expired
        } else {
            RemovalCause::Evicted
        }
    }

    #[inline]
    fn take_permit(&self) -> bool {
        let thread = self.thread();
        if self.cache().budget.permits.take(&thread.spare) {
            return true;
        }
        let starved = thread.starved.add(1);
        if starved % ADDS_PER_SCAVENGE != 1 {
            return false;
        }
        self.scavenge(starved / ADDS_PER_SCAVENGE)
    }

    /// Looks for spares of other threads. The more threads, the longer the walk and the rarer. Also
    /// where threads keep none: one that slept while the limit was lowered may have kept one since.
    #[cold]
    fn scavenge(&self, turn: u64) -> bool {
        let cache = self.cache();
        if turn % (1 + cache.domain.threads() as u64 / ADDS_PER_SCAVENGE) != 0 {
            return false;
        }
        cache.gather_spares();
        cache.budget.permits.take(&self.thread().spare)
    }

    /// Takes weight until `needed` bytes are held, evicting others (never `keep`) as long as that
    /// helps. Bounded by the number of sessions that are there, unless others take what was
    /// evicted, which is their progress.
    pub(super) fn reserve_weight(
        &self,
        insert: &mut PendingInsert<'_, T>,
        needed: usize,
        keep: Option<NonNull<Block<T>>>,
    ) -> Result<(), Setback> {
        let missing = needed.saturating_sub(insert.reservation.weight);
        while missing > 0 && !self.cache().budget.try_take_weight(missing) {
            if !(self.evict_nearby(insert, keep) || self.evict_elsewhere(insert, keep)) {
                insert.starved += 1;
                if insert.starved > ATTEMPTS_MAX {
                    return Err(Rejection::Contention.into());
                }
                crate::sync::yield_now();
                return Err(Setback::Retry);
            }
        }
        insert.reservation.weight += missing;
        // Once more: others may have reserved since.
        Ok(self.check_garbage(insert)?)
    }

    /// Evicts the first to go of the sets of the key and of some buckets more. False if nobody is
    /// there: if the chosen one has left meanwhile, somebody else made room.
    fn evict_nearby(
        &self,
        insert: &mut PendingInsert<'_, T>,
        keep: Option<NonNull<Block<T>>>,
    ) -> bool {
        match self.victim_for_weight(insert.probe, keep, insert.now) {
            Victim::InSet(victim) | Victim::Sampled(victim, _) => {
                self.evict_for(victim, insert);
                true
            }
            Victim::Stale => true,
            Victim::None => false,
        }
    }

    /// Evicts from the first bucket that has something to evict, of the newest table first: an
    /// older one may be large and nearly empty. Bounded by the size of the tables.
    #[cold]
    pub(super) fn evict_elsewhere(
        &self,
        insert: &mut PendingInsert<'_, T>,
        keep: Option<NonNull<Block<T>>>,
    ) -> bool {
        let oldest = self.oldest_table();
        let newest = oldest.newest();
        let older = oldest.chain().take_while(|table| !std::ptr::eq(*table, newest));
        for table in std::iter::once(newest).chain(older) {
            let start = table.pick_bucket(insert.probe.hash().wrapping_mul(GOLDEN_RATIO_64));
            for bucket in (start..table.len()).chain(0..start) {
                let victim = self.cache().eviction.first_to_go(table, bucket, keep, insert.now);
                if victim.is_some_and(|victim| self.evict_for(victim, insert)) {
                    return true;
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SessionCache;
    use crate::session::SessionId;

    fn weighed(n: u8, weight: u32) -> Session<u32> {
        let session = Session::new(SessionId::from([n; 32]), weight << 20);
        session.block().fix_weight(weight << 20);
        session
    }

    /// 8 MiB are stored and 20 are garbage, of 32.
    fn filled() -> SessionCache<u32> {
        let builder = SessionCache::builder().garbage_limit(32 << 20).max_weight(100 << 20);
        let cache = builder.weigher(|session: &Session<u32>| **session as usize).build().unwrap();
        assert!(cache.add(weighed(1, 8)).is_ok_and(|added| added.changed()));
        let pin = cache.domain.pin();
        assert!(
            cache.add(weighed(2, 20)).is_ok_and(|added| added.changed())
                && cache.remove_id(&SessionId::from([2; 32]))
        );
        drop(pin);
        cache
    }

    fn probed(cache: &SessionCache<u32>, session: Session<u32>) -> (Session<u32>, Probe) {
        let probe = cache.probe_of(session.block());
        (session, probe)
    }

    fn insert<'s>(
        cache: &SessionCache<u32>,
        (session, probe): &'s (Session<u32>, Probe),
    ) -> PendingInsert<'s, u32> {
        let reservation = Reservation::of_weight(cache.budget.weight_of(session.block()));
        PendingInsert { session, probe, now: 0, claimant: 1, reservation, attempts: 0, starved: 0 }
    }

    /// One that another thread kept after a limit was lowered under which it may keep none.
    #[test]
    fn a_spare_permit_is_found_where_none_may_be_kept() {
        let cache = SessionCache::new(1 << 20).unwrap();
        let (kept, is_kept) = std::sync::mpsc::channel();
        let (end, ends) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let cache = &cache;
            scope.spawn(move || {
                assert!(cache.add(weighed(0, 0)).is_ok());
                kept.send(()).unwrap();
                let _ = ends.recv();
            });
            is_kept.recv().unwrap();
            assert!(cache.budget.permits.out() > 1);
            cache.budget.permits.set_limit(10);
            (1..100).for_each(|n| assert!(cache.add(weighed(n, 0)).is_ok()));
            assert_eq!(cache.len(), 10);
            drop(end);
        });
    }

    /// Two replacements for each of which garbage leaves room, and not for both: the one that
    /// announces first.
    #[test]
    fn garbage_that_others_announced_counts() {
        let cache = filled();
        let operation = Operation::begin(&cache);
        let session = probed(&cache, weighed(1, 3));
        let mut first = insert(&cache, &session);
        cache.budget.announce_garbage(&mut first.reservation, 3 << 20);
        assert_eq!(operation.check_garbage(&first), Ok(()));
        let second = cache.add(weighed(1, 3));
        assert!(second.is_err_and(|rejected| rejected.reason() == Rejection::Garbage));
        cache.budget.give_back(&first.reservation, &operation.thread().spare);
        assert!(cache.add(weighed(1, 3)).is_ok_and(|added| added.changed()));
    }

    /// Two adds for each of which garbage leaves room, and not for both, come to the same place at
    /// the same time.
    #[test]
    fn weight_that_others_reserved_counts() {
        let cache = filled();
        let operation = Operation::begin(&cache);
        let sessions = [weighed(3, 3), weighed(4, 3)].map(|one| probed(&cache, one));
        let [mut first, mut second] = sessions.each_ref().map(|session| insert(&cache, session));
        assert!(
            operation.check_garbage(&first).is_ok() && operation.check_garbage(&second).is_ok()
        );
        let reserve = |insert: &mut PendingInsert<'_, u32>| {
            operation.reserve_weight(insert, insert.reservation.needed, None)
        };
        assert_eq!(reserve(&mut first), Ok(()));
        assert_eq!(reserve(&mut second), Err(Setback::Rejected(Rejection::Garbage)));
        for insert in [first, second] {
            cache.budget.give_back(&insert.reservation, &operation.thread().spare);
        }
    }
}
