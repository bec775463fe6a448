//! Room for a newcomer: permits, a slot, a victim.

use super::add::Newcomer;
use super::departure::{Departures, Permit};
use super::victim::Victim;
use super::{At, Guard, PerThread, SessionCache};
use crate::error::{Rejection, RemovalCause};
use crate::raw::{Rows, Table, Word};
use crate::session::Block;
use std::ptr::NonNull;

/// What an `add` has taken and not yet put into the table.
#[derive(Default)]
pub(super) struct Holding {
    /// A permit for one session.
    pub(super) session: bool,
    /// Bytes of weight.
    pub(super) weight: usize,
    /// Bytes announced as garbage to be.
    announced: usize,
    /// Attempts that found every slot, or every permit, in other hands.
    attempts: u32,
    starved: u32,
}

impl Holding {
    /// What becomes of the permit of a victim: it is kept unless one is held.
    #[inline]
    fn permit(&self) -> Permit {
        if self.session { Permit::GivenBack } else { Permit::Kept }
    }
}

/// Attempts before an `add` that finds nothing but other threads' claims gives up.
pub(super) const ATTEMPTS_MAX: u32 = 64;

/// A full cache looks for other threads' spare permits once in so many adds of a thread (or as
/// there are threads, if that is more), the first included: else threads that fill it would evict
/// where there is room.
const ADDS_PER_SCAVENGE: u64 = 16;

/// An odd multiplier (the golden section in 64 bits).
pub(super) const SCRAMBLE: u64 = 0x9E37_79B9_7F4A_7C15;

impl<T: Send + Sync + 'static> SessionCache<T> {
    /// Refuses a session that could one day be more garbage than the limit allows.
    ///
    /// What is stored becomes garbage when it is removed, and removals are never refused. So what
    /// is stored counts too, as far as it is no more than half of the limit.
    #[inline]
    pub(super) fn check_garbage(&self, newcomer: &Newcomer<T>) -> Result<(), Rejection> {
        // Of what is stored half of the limit counts at most: nearly always that is room enough.
        if self.weighing.is_none()
            && !self.domain.may_be_over(self.garbage_limit, self.garbage_limit / 2)
        {
            return Ok(());
        }
        self.check_garbage_closely(newcomer)
    }

    #[inline(never)]
    fn check_garbage_closely(&self, newcomer: &Newcomer<T>) -> Result<(), Rejection> {
        // What is in hand, then what is stored, then what is garbage: the order in which bytes go
        // on.
        let in_hand = self.weight_in_hand(newcomer);
        let most = (self.garbage_limit / 2).saturating_add(in_hand as u64);
        if !self.domain.may_be_over(self.garbage_limit, most) {
            return Ok(());
        }
        let head = size_of::<Block<T>>();
        let in_hand = self.domain.threads().saturating_mul(head).saturating_add(in_hand) as u64;
        let weight = self.weighing.as_ref().map_or(0, |weighing| weighing.budget.used());
        let stored = self.sessions.out().saturating_mul(head).saturating_add(weight) as u64;
        let reserve = stored.min(self.garbage_limit / 2).saturating_add(in_hand);
        if self.domain.is_over(self.garbage_limit, reserve) {
            Err(Rejection::Garbage)
        } else {
            Ok(())
        }
    }

    /// What adds under way will make garbage of, and this one too.
    fn weight_in_hand(&self, newcomer: &Newcomer<T>) -> usize {
        let Some(weighing) = &self.weighing else { return 0 };
        let Holding { weight, announced, .. } = newcomer.holding;
        weighing
            .budget
            .announced()
            .saturating_add(newcomer.weight.saturating_sub(weight + announced))
    }

    /// Lets others know that an add will make garbage of so many bytes.
    pub(super) fn announce_garbage(&self, newcomer: &mut Newcomer<T>, bytes: usize) {
        let Some(weighing) = &self.weighing else { return };
        weighing.budget.announce(bytes);
        weighing.budget.settle(newcomer.holding.announced);
        newcomer.holding.announced = bytes;
    }

    /// A slot that may be claimed: empty if a permit is held, else a victim, whose permit passes
    /// on.
    ///
    /// `None` means: look again.
    pub(super) fn choose_slot<'p>(
        &self,
        pin: &'p Guard<'_, T>,
        table: &'p Table<Block<T>>,
        newcomer: &mut Newcomer<T>,
        departures: &mut Departures<T>,
    ) -> Result<Option<At<'p, T>>, Rejection> {
        if !newcomer.holding.session {
            newcomer.holding.session = self.take_permit(pin);
        }
        let rows = table.rows(&newcomer.probe);
        let victim = if newcomer.holding.session {
            if let Some(empty) = rows.vacancy() {
                self.look_after_ages(pin, table, newcomer);
                return Ok(Some(empty));
            }
            self.victim_of_full_set(pin, table, &rows, newcomer, departures)?
        } else {
            self.victim(pin, table, &rows, newcomer, departures)
        };
        match victim {
            Victim::Here(victim) => return Ok(Some(victim)),
            Victim::Elsewhere(victim, empty) => {
                newcomer.holding.session =
                    self.evict(pin, &victim, newcomer.now, Permit::Kept, departures);
                return Ok(newcomer.holding.session.then_some(empty));
            }
            Victim::Gone => return Ok(None),
            Victim::Nobody => {}
        }
        if !newcomer.holding.session {
            if self.evict_elsewhere(pin, newcomer, None, departures) {
                return Ok(None);
            }
            // Nothing to evict and no permit: threads that are idle now may keep some.
            self.gather_spares();
        }
        self.back_off(newcomer)
    }

    /// Every slot or permit is in the hands of adds under way: lets them run, a bounded number of
    /// times.
    fn back_off<R>(&self, newcomer: &mut Newcomer<T>) -> Result<Option<R>, Rejection> {
        newcomer.holding.attempts += 1;
        if newcomer.holding.attempts > ATTEMPTS_MAX {
            return Err(Rejection::Contention);
        }
        crate::sync::yield_now();
        Ok(None)
    }

    /// Who goes though there is room elsewhere. Nobody where the table may grow, unless it is too
    /// empty to grow for one crowded set, or cannot, and sessions may be evicted: then the next one
    /// has room.
    #[cold]
    #[inline(never)]
    fn victim_of_full_set<'p>(
        &self,
        pin: &'p Guard<'_, T>,
        table: &'p Table<Block<T>>,
        rows: &Rows<'p, Block<T>>,
        newcomer: &Newcomer<T>,
        departures: &mut Departures<T>,
    ) -> Result<Victim<'p, T>, Rejection> {
        if self.follows_sessions() {
            let grown = self.grow(pin, table, departures);
            if grown == Ok(true) {
                return Ok(Victim::Gone);
            }
            if self.is_unbounded() {
                grown?;
            }
        }
        let latest = rows.latest_of_crowd(newcomer.tag, self.recency.tick()).map(Victim::Here);
        Ok(latest.unwrap_or_else(|| self.victim(pin, table, rows, newcomer, departures)))
    }

    /// Settles the eviction of the member that a claim has displaced.
    pub(super) fn evict_into_holding(
        &self,
        pin: &Guard<'_, T>,
        victim: &At<'_, T>,
        newcomer: &mut Newcomer<T>,
        departures: &mut Departures<T>,
    ) {
        let permit = newcomer.holding.permit();
        newcomer.holding.session = true;
        let cause = self.cause_of(pin, victim, newcomer.now);
        self.depart(pin, victim, cause, permit, departures);
    }

    /// Evicts a session for a newcomer, which keeps the permit unless it has one.
    fn evict_for(
        &self,
        pin: &Guard<'_, T>,
        victim: &At<'_, T>,
        newcomer: &mut Newcomer<T>,
        departures: &mut Departures<T>,
    ) -> bool {
        let permit = newcomer.holding.permit();
        let evicted = self.evict(pin, victim, newcomer.now, permit, departures);
        newcomer.holding.session |= evicted;
        evicted
    }

    fn evict(
        &self,
        pin: &Guard<'_, T>,
        victim: &At<'_, T>,
        now: u64,
        permit: Permit,
        departures: &mut Departures<T>,
    ) -> bool {
        // LINEARIZE: the eviction.
        let evicted = victim.exchange(Word::EMPTY);
        if evicted {
            let cause = self.cause_of(pin, victim, now);
            self.depart(pin, victim, cause, permit, departures);
        }
        evicted
    }

    /// Looks at the victim, which may be cold, only if the hunt did too.
    fn cause_of(&self, pin: &Guard<'_, T>, victim: &At<'_, T>, now: u64) -> RemovalCause {
        if !self.needs_a_close_look(victim.table, now) {
            return RemovalCause::Evicted;
        }
        match self.block(pin, victim) {
            Some(block) if block.is_expired(now) => RemovalCause::Expired,
            _ => RemovalCause::Evicted,
        }
    }

    #[inline]
    fn take_permit(&self, pin: &Guard<'_, T>) -> bool {
        let state = pin.state();
        if self.sessions.take(&state.spare) {
            return true;
        }
        let starved = state.starved.add(1);
        if starved % ADDS_PER_SCAVENGE != 1 {
            return false;
        }
        self.scavenge(state, starved / ADDS_PER_SCAVENGE)
    }

    /// Looks for spares of other threads, unless there can be none. The more threads, the longer
    /// the walk and the rarer.
    #[cold]
    fn scavenge(&self, state: &PerThread, turn: u64) -> bool {
        if !self.sessions.has_spares()
            || turn % (1 + self.domain.threads() as u64 / ADDS_PER_SCAVENGE) != 0
        {
            return false;
        }
        self.gather_spares();
        self.sessions.take(&state.spare)
    }

    /// Returns all threads' spares to everybody.
    #[cold]
    pub(super) fn gather_spares(&self) {
        self.domain.states_in_use().for_each(|state| self.sessions.reclaim(&state.spare));
    }

    pub(super) fn give_back(&self, pin: &Guard<'_, T>, holding: &Holding) {
        if holding.session {
            self.sessions.give(&pin.state().spare);
        }
        if let Some(weighing) = &self.weighing {
            weighing.budget.give(holding.weight);
            if holding.announced > 0 {
                weighing.budget.settle(holding.announced);
            }
        }
    }

    /// Takes weight until `needed` bytes are held, evicting others (never `keep`) as long as that
    /// helps. Bounded by the number of sessions that are there, unless others take what was
    /// evicted, which is their progress.
    ///
    /// False means: nobody was there to evict, look again.
    pub(super) fn reserve_weight(
        &self,
        pin: &Guard<'_, T>,
        newcomer: &mut Newcomer<T>,
        needed: usize,
        keep: Option<NonNull<Block<T>>>,
        departures: &mut Departures<T>,
    ) -> Result<bool, Rejection> {
        let Some(weighing) = &self.weighing else { return Ok(true) };
        let missing = needed.saturating_sub(newcomer.holding.weight);
        while missing > 0 && !weighing.budget.try_take(missing) {
            let evicted = self.evict_nearby(pin, newcomer, keep, departures)
                || self.evict_elsewhere(pin, newcomer, keep, departures);
            if !evicted {
                newcomer.holding.starved += 1;
                if newcomer.holding.starved > ATTEMPTS_MAX {
                    return Err(Rejection::Contention);
                }
                crate::sync::yield_now();
                return Ok(false);
            }
        }
        newcomer.holding.weight += missing;
        // Once more: others may have reserved since.
        self.check_garbage(newcomer)?;
        Ok(true)
    }

    /// Evicts the first to go of the newcomer's sets and of some buckets more. False if nobody is
    /// there: if the chosen one has left meanwhile, somebody else made room.
    fn evict_nearby(
        &self,
        pin: &Guard<'_, T>,
        newcomer: &mut Newcomer<T>,
        keep: Option<NonNull<Block<T>>>,
        departures: &mut Departures<T>,
    ) -> bool {
        match self.victim_for_weight(pin, newcomer, keep, departures) {
            Victim::Here(victim) | Victim::Elsewhere(victim, _) => {
                self.evict_for(pin, &victim, newcomer, departures);
                true
            }
            Victim::Gone => true,
            Victim::Nobody => false,
        }
    }

    /// Evicts from the first bucket that has something to evict, of the newest table first: an
    /// older one may be large and nearly empty. Bounded by the size of the tables.
    #[cold]
    pub(super) fn evict_elsewhere(
        &self,
        pin: &Guard<'_, T>,
        newcomer: &mut Newcomer<T>,
        keep: Option<NonNull<Block<T>>>,
        departures: &mut Departures<T>,
    ) -> bool {
        let chain = self.chain(pin);
        let newest = chain.newest();
        let older = chain.tables().take_while(|table| !std::ptr::eq(*table, newest));
        for table in std::iter::once(newest).chain(older) {
            let start = table.bucket_at(newcomer.probe.hash().wrapping_mul(SCRAMBLE));
            for bucket in (start..table.len()).chain(0..start) {
                let victim = self.first_to_go(
                    pin,
                    &mut std::iter::once((table, bucket)),
                    keep,
                    newcomer.now,
                );
                if victim.is_some_and(|victim| self.evict_for(pin, &victim, newcomer, departures)) {
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
    use crate::session::{Session, SessionId};

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

    fn newcomer(cache: &SessionCache<u32>, session: &Session<u32>) -> Newcomer<u32> {
        let probe = cache.probe_of(session.block());
        let (block, weight) = (session.address(), session.block().weight() as usize);
        let holding = Holding::default();
        Newcomer { block, probe, tag: probe.tag(), claimant: 1, weight, now: 0, holding }
    }

    /// Two replacements for each of which garbage leaves room, and not for both: the one that
    /// announces first.
    #[test]
    fn garbage_that_others_announced_counts() {
        let cache = filled();
        let pin = cache.domain.pin();
        let session = weighed(1, 3);
        let mut first = newcomer(&cache, &session);
        cache.announce_garbage(&mut first, 3 << 20);
        assert_eq!(cache.check_garbage(&first), Ok(()));
        let second = cache.add(weighed(1, 3));
        assert!(second.is_err_and(|rejected| rejected.reason() == Rejection::Garbage));
        cache.give_back(&pin, &first.holding);
        assert!(cache.add(weighed(1, 3)).is_ok_and(|added| added.changed()));
    }

    /// Two adds for each of which garbage leaves room, and not for both, come to the same place at
    /// the same time.
    #[test]
    fn weight_that_others_reserved_counts() {
        let cache = filled();
        let pin = cache.domain.pin();
        let sessions = [weighed(3, 3), weighed(4, 3)];
        let [mut first, mut second] = sessions.each_ref().map(|session| newcomer(&cache, session));
        assert!(cache.check_garbage(&first).is_ok() && cache.check_garbage(&second).is_ok());
        let reserve = |newcomer: &mut Newcomer<u32>| {
            cache.reserve_weight(&pin, newcomer, newcomer.weight, None, &mut Departures::none())
        };
        assert_eq!(reserve(&mut first), Ok(true));
        assert_eq!(reserve(&mut second), Err(Rejection::Garbage));
        [first, second].into_iter().for_each(|newcomer| cache.give_back(&pin, &newcomer.holding));
    }
}
