//! Room for a newcomer: permits, a slot, a victim.

use super::add::Newcomer;
use super::departure::{Departures, Permit};
use super::{At, Guard, SessionCache};
use crate::error::{Rejection, RemovalCause};
use crate::policy::{Hunt, Rank, rank_of_age};
use crate::raw::{SLOTS, Stamp, Table, Word};
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
pub(super) const ATTEMPTS_MAX: u32 = 64;

/// A full cache looks for other threads' spare permits once in so many adds of a thread.
const ADDS_PER_SCAVENGE: u64 = 16;

/// Buckets beside the newcomer's own that are looked at for a victim. Measured on single-use tickets, share of the hits of
/// an exact list: none 99.0 to 99.5 %, one 99.6 to 99.8 %, two 99.7 to 99.9 %.
fn samples_for(buckets: usize) -> usize {
    match buckets {
        0..=2 => 0,
        3..=1024 => 24,
        1025..=65_536 => 2,
        _ => 0,
    }
}

/// An odd multiplier (the golden section in 64 bits).
pub(super) const SCRAMBLE: u64 = 0x9E37_79B9_7F4A_7C15;

/// What a look at the newcomer's set found.
struct Survey<'t, T> {
    hunt: Hunt<At<'t, T>>,
    /// An empty slot of the emptier bucket, of the home on a tie.
    empty: Option<At<'t, T>>,
}

impl<T: Send + Sync + 'static> SessionCache<T> {
    /// Refuses a session that could one day be more garbage than the limit allows.
    ///
    /// What is stored becomes garbage when it is removed, and removals are never refused. So what is stored counts too, as
    /// far as it is no more than half of the limit.
    #[inline]
    pub(super) fn check_garbage(&self, newcomer: &Newcomer<T>) -> Result<(), Rejection> {
        let head = size_of::<Block<T>>();
        let sessions = self.sessions.out() + self.domain.threads();
        let weight = self.weighing.as_ref().map_or(0, |weighing| weighing.budget.used() + newcomer.weight);
        let stored = sessions.saturating_mul(head).saturating_add(weight) as u64;
        let reserve = stored.min(self.garbage_limit / 2);
        if self.domain.is_over(self.garbage_limit, reserve) { Err(Rejection::Garbage) } else { Ok(()) }
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
        let mut survey = self.survey(pin, table, newcomer);
        if newcomer.holding.session && survey.empty.is_some() {
            return Ok(survey.empty);
        }
        if newcomer.holding.session && self.is_unbounded() {
            if let Some(wait) = self.grow_for(pin, table, newcomer, departures)? {
                return wait;
            }
        }
        if survey.empty.is_some() {
            self.survey_elsewhere(pin, table, newcomer, &mut survey.hunt);
        }
        if let Some(victim) = survey.hunt.victim() {
            let is_own = table.is_in_set(victim.position, newcomer.hash);
            if is_own || survey.empty.is_none() {
                return Ok(Some(victim));
            }
            newcomer.holding.session = self.evict(pin, &victim, newcomer.now, Permit::Kept, departures);
            return Ok(if newcomer.holding.session { survey.empty } else { None });
        }
        if !newcomer.holding.session {
            newcomer.holding.session = self.evict_elsewhere(pin, newcomer, Permit::Kept, None, departures);
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
        let evicted = self.evict_nearby(pin, newcomer, keep, departures)
            || self.evict_elsewhere(pin, newcomer, Permit::GivenBack, keep, departures);
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
    ) -> bool {
        let table = self.chain(pin).newest();
        let mut hunt = Hunt::new(self.protect_reused);
        for bucket in table.buckets_of(newcomer.hash) {
            self.hunt(pin, &mut hunt, table, bucket, keep, newcomer.now);
        }
        match hunt.victim() {
            Some(victim) => self.evict(pin, &victim, newcomer.now, Permit::GivenBack, departures),
            None => false,
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
    ) -> bool {
        for table in self.chain(pin).tables() {
            let start = table.bucket_at(newcomer.hash.wrapping_mul(SCRAMBLE));
            for bucket in (start..table.len()).chain(0..start) {
                let mut hunt = Hunt::new(self.protect_reused);
                self.hunt(pin, &mut hunt, table, bucket, keep, newcomer.now);
                let Some(victim) = hunt.victim() else { continue };
                if self.evict(pin, &victim, newcomer.now, permit, departures) {
                    return true;
                }
            }
        }
        false
    }

    pub(super) fn evict(
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

    fn survey<'p>(
        &self,
        pin: &'p Guard<'_, T>,
        table: &'p Table<Block<T>>,
        newcomer: &Newcomer<T>,
    ) -> Survey<'p, T> {
        let mut hunt = Hunt::new(self.protect_reused);
        let buckets = table.buckets_of(newcomer.hash);
        let [home, other] = buckets.map(|bucket| {
            hunt.enter_bucket();
            self.hunt(pin, &mut hunt, table, bucket, None, newcomer.now)
        });
        let (bucket, empty) =
            if other.count_ones() > home.count_ones() { (buckets[1], other) } else { (buckets[0], home) };
        let slot = empty.trailing_zeros() as usize;
        Survey { hunt, empty: (empty != 0).then(|| table.spot(bucket, slot, Word::EMPTY)) }
    }

    /// Goes on with the hunt in a few other buckets.
    ///
    /// Fourteen slots, a quarter of them empty, are a small sample of a cache. More buckets cost their cache lines and bring
    /// the order closer to that of one list; how many is a matter of what the table costs to read at random.
    fn survey_elsewhere<'p>(
        &self,
        pin: &'p Guard<'_, T>,
        table: &'p Table<Block<T>>,
        newcomer: &Newcomer<T>,
        hunt: &mut Hunt<At<'p, T>>,
    ) {
        let mut chance = newcomer.hash;
        for _ in 0..samples_for(table.len()) {
            chance = chance.wrapping_mul(SCRAMBLE).rotate_left(29);
            hunt.enter_bucket();
            self.hunt(pin, hunt, table, table.bucket_at(chance), None, newcomer.now);
        }
    }

    /// Ranks the members of a bucket, all but `keep`, and returns its empty slots, one bit each. No branch per slot unless
    /// dates or uses count.
    fn hunt<'p>(
        &self,
        pin: &'p Guard<'_, T>,
        hunt: &mut Hunt<At<'p, T>>,
        table: &'p Table<Block<T>>,
        bucket: usize,
        keep: Option<NonNull<Block<T>>>,
        now: u64,
    ) -> u32 {
        let words = table.words(bucket);
        let spot = |slot: usize| table.spot(bucket, slot, words[slot]);
        // After the words: a stamp newer than the tick would look old.
        let tick = self.recency.tick();
        let mut ranks = words.map(|word| {
            let rank = rank_of_age(word.stamp().age(tick), word.is_touched());
            if word.is_member() { rank } else { 0 }
        });
        if ranks.iter().any(|rank| *rank > rank_of_age(AGE_MAX, false)) {
            self.rejuvenate(table, bucket, tick);
        }
        if let Some(keep) = keep {
            let kept = words.iter().position(|word| word.holds(keep));
            kept.into_iter().for_each(|slot| ranks[slot] = 0);
        }
        if self.policy.needs_expiry() || table.is_one_set() || self.sweeper.may_have_expired(now) {
            self.rank_by_date(pin, spot, &mut ranks, now);
        }
        if self.protect_reused {
            let members = (0..SLOTS).filter(|slot| ranks[*slot] != 0);
            members.for_each(|slot| hunt.see(spot(slot), ranks[slot], words[slot].is_touched()));
        } else {
            let first =
                (0..SLOTS).fold(0, |first, slot| if ranks[slot] > ranks[first] { slot } else { first });
            hunt.see(spot(first), ranks[first], true);
        }
        (0..SLOTS).fold(0, |empty, slot| empty | u32::from(words[slot].is_empty()) << slot)
    }

    #[cold]
    fn rank_by_date<'p>(
        &self,
        pin: &'p Guard<'_, T>,
        spot: impl Fn(usize) -> At<'p, T>,
        ranks: &mut [Rank; SLOTS],
        now: u64,
    ) {
        for (slot, rank) in ranks.iter_mut().enumerate().filter(|(_, rank)| **rank != 0) {
            let date = self
                .block(pin, &spot(slot))
                .map_or(0, |block| self.policy.rank_of_date(block.expires(), now));
            *rank |= date;
        }
    }

    /// Lowers the ages that are about to wrap. The words change, so these spots will not be evicted in this attempt.
    #[cold]
    fn rejuvenate(&self, table: &Table<Block<T>>, bucket: usize, tick: usize) {
        for spot in table.bucket_spots(bucket) {
            if spot.word.is_member() && spot.word.stamp().age(tick) > AGE_MAX {
                // LINEARIZE: nothing: only the age changes.
                spot.exchange(spot.word.restamped(Stamp::of_tick(tick.wrapping_sub(AGE_MAX - 8))));
            }
        }
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
