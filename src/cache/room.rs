//! Room for a newcomer: permits, a slot, a victim.

use super::add::Newcomer;
use super::departure::{Departures, Permit};
use super::{At, Guard, SessionCache};
use crate::error::{Rejection, RemovalCause};
use crate::policy::Candidate;
use crate::raw::{SLOTS, Stamp, State, Table, Word};
use crate::recency::AGE_MAX;
use crate::session::Block;
use std::ptr::NonNull;

/// What an `add` has taken and not yet put into the table.
#[derive(Default)]
pub(super) struct Holding {
    /// A permit for one session.
    pub(super) session: bool,
    /// Bytes of weight.
    pub(super) weight: usize,
    /// Attempts that found every slot, or every permit, in other hands.
    attempts: u32,
    starved: u32,
}

/// Attempts before an `add` that finds nothing but other threads' claims gives up.
const ATTEMPTS_MAX: u32 = 64;

/// A full cache looks for other threads' spare permits once in so many adds of a thread.
const ADDS_PER_SCAVENGE: u64 = 16;

/// Buckets beside the newcomer's own that are looked at for a victim. Measured on single-use tickets, share of the hits of
/// an exact list: none 99.0 to 99.5 %, one 99.6 to 99.8 %, two 99.7 to 99.9 %.
fn samples_for(buckets: usize) -> usize {
    match buckets {
        0..=2 => 0,
        3..=1024 => 6,
        1025..=65_536 => 2,
        _ => 0,
    }
}

/// An odd multiplier (the golden section in 64 bits).
pub(super) const SCRAMBLE: u64 = 0x9E37_79B9_7F4A_7C15;

/// The members of a few slots, with what decides which goes.
struct Survey<'t, T> {
    members: [Option<(At<'t, T>, Candidate)>; 2 * SLOTS],
    len: usize,
    empty: Option<At<'t, T>>,
}

impl<T: Send + Sync + 'static> SessionCache<T> {
    /// Refuses what would retire another session while too many are retired already.
    #[inline]
    pub(super) fn check_garbage(&self, block: &Block<T>) -> Result<(), Rejection> {
        let is_over = self.domain.is_over(self.garbage_limit, block.footprint() as u64);
        if is_over { Err(Rejection::Garbage) } else { Ok(()) }
    }

    /// A slot that may be claimed: empty if a permit is held, else a victim, whose permit passes on.
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
        let survey = self.survey_set(pin, table, newcomer.hash, newcomer.now);
        if newcomer.holding.session && survey.empty.is_some() {
            return Ok(survey.empty);
        }
        if newcomer.holding.session && self.is_unbounded() {
            if let Some(wait) = self.grow_for(pin, table, newcomer, departures)? {
                return wait;
            }
        }
        if survey.empty.is_some() {
            let elsewhere = self.older_victim(pin, table, &survey, newcomer);
            if let Some(victim) = elsewhere {
                newcomer.holding.session =
                    self.evict(pin, &victim, newcomer.now, Permit::Kept, departures)?;
                return Ok(if newcomer.holding.session { survey.empty } else { None });
            }
        }
        let victim = self.victim_of(&survey, newcomer.now, None);
        if let Some(victim) = victim {
            if let Some(block) = self.block(pin, &victim) {
                self.check_garbage(block)?;
            }
            return Ok(Some(victim));
        }
        if !newcomer.holding.session {
            newcomer.holding.session = self.evict_elsewhere(pin, newcomer, Permit::Kept, None, departures)?;
            if newcomer.holding.session {
                return Ok(None);
            }
            // Nothing to evict and no permit: threads that are idle now may keep some.
            self.domain.states().for_each(|state| self.sessions.reclaim(&state.spare));
        }
        self.back_off(newcomer)
    }

    /// Every slot or permit is in the hands of adds under way: lets them run, a bounded number of times.
    fn back_off<R>(&self, newcomer: &mut Newcomer<T>) -> Result<Option<R>, Rejection> {
        newcomer.holding.attempts += 1;
        if newcomer.holding.attempts > ATTEMPTS_MAX {
            return Err(Rejection::Contention);
        }
        crate::sync::yield_now();
        Ok(None)
    }

    /// The set is full in a cache without a bound: the next table has room, or will have. `None` when the table is too
    /// empty to grow for one crowded set, which then evicts after all.
    #[cold]
    fn grow_for<R>(
        &self,
        pin: &Guard<'_, T>,
        table: &Table<Block<T>>,
        newcomer: &mut Newcomer<T>,
        departures: &mut Departures<T>,
    ) -> Result<Option<Result<Option<R>, Rejection>>, Rejection> {
        let grows = self.grow(pin, table, departures)?;
        Ok(grows.then(|| self.back_off(newcomer)))
    }

    /// Settles the eviction of the member that a claim has displaced.
    pub(super) fn evict_into_holding(
        &self,
        pin: &Guard<'_, T>,
        victim: &At<'_, T>,
        newcomer: &mut Newcomer<T>,
        departures: &mut Departures<T>,
    ) {
        let permit = if newcomer.holding.session { Permit::GivenBack } else { Permit::Kept };
        newcomer.holding.session = true;
        let cause = self.cause_of(pin, victim, newcomer.now);
        self.depart(pin, victim, cause, permit, departures);
    }

    fn cause_of(&self, pin: &Guard<'_, T>, victim: &At<'_, T>, now: u64) -> RemovalCause {
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
        if state.starved.add(1) % ADDS_PER_SCAVENGE != 0 {
            return false;
        }
        self.domain.states().for_each(|state| self.sessions.reclaim(&state.spare));
        self.sessions.take(&state.spare)
    }

    pub(super) fn give_back(&self, pin: &Guard<'_, T>, holding: Holding) {
        if holding.session {
            self.sessions.give(&pin.state().spare);
        }
        if let Some(weighing) = &self.weighing {
            weighing.budget.give(holding.weight);
        }
    }

    /// Takes weight until `needed` bytes are held, evicting others (never `keep`) as long as that helps.
    ///
    /// False means: something was evicted, look again.
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
        if missing == 0 || weighing.budget.try_take(missing) {
            newcomer.holding.weight += missing;
            return Ok(true);
        }
        let evicted = self.evict_nearby(pin, newcomer, keep, departures)?
            || self.evict_elsewhere(pin, newcomer, Permit::GivenBack, keep, departures)?;
        if !evicted {
            newcomer.holding.starved += 1;
            if newcomer.holding.starved > ATTEMPTS_MAX {
                return Err(Rejection::Contention);
            }
            crate::sync::yield_now();
        }
        Ok(false)
    }

    /// Evicts the victim of the newcomer's own set.
    fn evict_nearby(
        &self,
        pin: &Guard<'_, T>,
        newcomer: &Newcomer<T>,
        keep: Option<NonNull<Block<T>>>,
        departures: &mut Departures<T>,
    ) -> Result<bool, Rejection> {
        let table = self.chain(pin).newest();
        let survey = self.survey_set(pin, table, newcomer.hash, newcomer.now);
        match self.victim_of(&survey, newcomer.now, keep) {
            Some(victim) => self.evict(pin, &victim, newcomer.now, Permit::GivenBack, departures),
            None => Ok(false),
        }
    }

    /// Evicts from the first bucket that has something to evict. Bounded by the size of the tables.
    #[cold]
    pub(super) fn evict_elsewhere(
        &self,
        pin: &Guard<'_, T>,
        newcomer: &Newcomer<T>,
        permit: Permit,
        keep: Option<NonNull<Block<T>>>,
        departures: &mut Departures<T>,
    ) -> Result<bool, Rejection> {
        for table in self.chain(pin).tables() {
            let start = (newcomer.hash >> 16) as usize % table.len();
            for bucket in (start..table.len()).chain(0..start) {
                let survey = self.survey(pin, table.bucket_spots(bucket), newcomer.now);
                let Some(victim) = self.victim_of(&survey, newcomer.now, keep) else { continue };
                if self.evict(pin, &victim, newcomer.now, permit, departures)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    pub(super) fn evict(
        &self,
        pin: &Guard<'_, T>,
        victim: &At<'_, T>,
        now: u64,
        permit: Permit,
        departures: &mut Departures<T>,
    ) -> Result<bool, Rejection> {
        if let Some(block) = self.block(pin, victim) {
            self.check_garbage(block)?;
        }
        // LINEARIZE: the eviction.
        let evicted = victim.exchange(Word::EMPTY);
        if evicted {
            let cause = self.cause_of(pin, victim, now);
            self.depart(pin, victim, cause, permit, departures);
        }
        Ok(evicted)
    }

    /// What is in the newcomer's set; the empty slot is of the emptier bucket, the home on a tie.
    fn survey_set<'p>(
        &self,
        pin: &'p Guard<'_, T>,
        table: &'p Table<Block<T>>,
        hash: u64,
        now: u64,
    ) -> Survey<'p, T> {
        let mut survey = self.survey(pin, table.set_spots(hash), now);
        let home = table.home_of(hash);
        let (mut in_home, mut in_other) = ((0, None), (0, None));
        for spot in table.set_spots(hash) {
            let side = if spot.position.bucket == home { &mut in_home } else { &mut in_other };
            if spot.word.is_empty() {
                side.1.get_or_insert(spot);
            } else {
                side.0 += 1;
            }
        }
        let preferred = if in_other.0 < in_home.0 { in_other } else { in_home };
        survey.empty = preferred.1;
        survey
    }

    fn survey<'p>(
        &self,
        pin: &'p Guard<'_, T>,
        spots: impl Iterator<Item = At<'p, T>>,
        now: u64,
    ) -> Survey<'p, T> {
        let mut survey = Survey { members: [const { None }; 2 * SLOTS], len: 0, empty: None };
        for spot in spots.filter(|spot| spot.word.state() == State::Member) {
            let with_dates =
                self.policy.needs_expiry() || spot.table.is_one_set() || self.sweeper.may_have_expired(now);
            let expires = if with_dates { self.block(pin, &spot).map(Block::expires) } else { None };
            let candidate = Candidate { age: 0, is_touched: spot.word.is_touched(), expires };
            survey.members[survey.len] = Some((spot, candidate));
            survey.len += 1;
        }
        // After the words: a stamp newer than the tick would look old.
        let tick = self.recency.tick();
        for (spot, candidate) in survey.members[..survey.len].iter_mut().flatten() {
            candidate.age = spot.word.stamp().age(tick);
            if candidate.age > AGE_MAX {
                self.rejuvenate(spot, tick);
            }
        }
        survey
    }

    /// Lowers an age that is about to wrap. The word changes, so this spot will not be evicted in this attempt.
    #[cold]
    fn rejuvenate(&self, spot: &At<'_, T>, tick: usize) {
        // LINEARIZE: nothing: only the age changes.
        spot.exchange(spot.word.restamped(Stamp::of_tick(tick.wrapping_sub(AGE_MAX - 8))));
    }

    /// A member of a few other buckets that should go before the victim of the newcomer's own set.
    ///
    /// Fourteen slots, a quarter of them empty, are a small sample of a cache. More buckets cost their cache lines and bring
    /// the order closer to that of one list; how many is a matter of what the table costs to read at random.
    fn older_victim<'p>(
        &self,
        pin: &'p Guard<'_, T>,
        table: &'p Table<Block<T>>,
        own: &Survey<'p, T>,
        newcomer: &Newcomer<T>,
    ) -> Option<At<'p, T>> {
        let mut best = self.victim_of(own, newcomer.now, None);
        let mut is_elsewhere = false;
        let mut chance = newcomer.hash;
        for _ in 0..samples_for(table.len()) {
            chance = chance.wrapping_mul(SCRAMBLE).rotate_left(29);
            let survey = self.survey(pin, table.bucket_spots(table.bucket_at(chance)), newcomer.now);
            let Some(other) = self.victim_of(&survey, newcomer.now, None) else { continue };
            let is_older = best.is_none_or(|best| self.goes_before(pin, &other, &best, newcomer.now));
            if is_older {
                (best, is_elsewhere) = (Some(other), true);
            }
        }
        best.filter(|_| is_elsewhere)
    }

    fn goes_before(&self, pin: &Guard<'_, T>, one: &At<'_, T>, other: &At<'_, T>, now: u64) -> bool {
        let tick = self.recency.tick();
        let rank = |spot: &At<'_, T>| {
            let with_dates = self.policy.needs_expiry() || self.sweeper.may_have_expired(now);
            let expires = if with_dates { self.block(pin, spot).map(Block::expires) } else { None };
            let age = spot.word.stamp().age(tick);
            let candidate = Candidate { age, is_touched: spot.word.is_touched(), expires };
            let is_expired = expires.is_some_and(|expires| now > expires);
            let is_protected = self.protect_reused && candidate.is_touched;
            (is_expired, !is_protected, self.policy.rank(&candidate))
        };
        rank(one) > rank(other)
    }

    fn victim_of<'p>(
        &self,
        survey: &Survey<'p, T>,
        now: u64,
        keep: Option<NonNull<Block<T>>>,
    ) -> Option<At<'p, T>> {
        let mut spots: [Option<At<'p, T>>; 2 * SLOTS] = [const { None }; 2 * SLOTS];
        let mut candidates = [const { Candidate { age: 0, is_touched: false, expires: None } }; 2 * SLOTS];
        let mut len = 0;
        for (spot, candidate) in survey.members[..survey.len].iter().flatten() {
            if keep.is_none_or(|keep| !spot.word.holds(keep)) {
                spots[len] = Some(*spot);
                candidates[len] = *candidate;
                len += 1;
            }
        }
        let index = self.policy.victim(&candidates[..len], now, self.protect_reused)?;
        spots[index]
    }

    /// Renumbers a table of one set before ages wrap. There every placement and use has a tick of its own, so the order
    /// is exact. `tick` is the one just used, and its member is stamped already.
    #[inline]
    pub(super) fn renumber_if_due(&self, table: &Table<Block<T>>, tick: usize) {
        if tick % (Stamp::PERIOD / 4) == 0 {
            self.renumber(table, tick);
        }
    }

    /// Gives the members of a one-set table the ages 1, 2, 3 … in their order, so that no age ever wraps.
    #[cold]
    fn renumber(&self, table: &Table<Block<T>>, tick: usize) {
        let mut members: Vec<At<'_, T>> = Vec::new();
        if members.try_reserve(table.slots()).is_err() {
            return;
        }
        let spots = (0..table.len()).flat_map(|bucket| table.bucket_spots(bucket));
        members.extend(spots.filter(|spot| spot.word.is_member()));
        members.sort_by_key(|spot| (spot.word.stamp().age(tick), !spot.word.is_touched()));
        for (rank, spot) in members.iter().enumerate() {
            // LINEARIZE: nothing: only the age changes.
            spot.exchange(spot.word.restamped(Stamp::of_tick(tick.wrapping_sub(rank + 1))));
        }
    }
}
