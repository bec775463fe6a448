//! What the cache may hold: sessions, bytes of weight, and garbage.
#![forbid(unsafe_code)]

mod bytes;
mod permits;

pub(crate) use self::bytes::Bytes;
pub(crate) use self::permits::{Permits, Spare};

use crate::error::Rejection;
use crate::hint::unlikely;
use crate::session::{Block, Session, size_of_block, size_of_whole_block};
use crate::sync::untracked::{AtomicUsize, Ordering};

/// The limits of a cache, and what is used of them. In this order: what each add reads and seldom
/// one writes lies in one cache line.
#[repr(C)]
pub(super) struct Budget<T> {
    weighing: Option<Box<Weighing<T>>>,
    garbage_limit: u64,
    /// Bytes of the largest block that was added, where blocks are of different sizes.
    largest: AtomicUsize,
    pub(super) permits: Permits,
}

/// Weighs a session, in bytes.
pub(crate) type Weigher<T> = dyn Fn(&Session<T>) -> usize + Send + Sync;

/// Capacity by bytes.
pub(crate) struct Weighing<T> {
    weigher: Box<Weigher<T>>,
    max_entry: usize,
    bytes: Bytes,
}

/// What becomes of the permit of a session that leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Permit {
    GivenBack,
    /// It passes to the session that takes the place.
    Kept,
}

/// What an `add` has taken and not yet put into the table.
pub(super) struct Reservation {
    /// The weight of the session, in bytes.
    pub(super) needed: usize,
    /// A permit for one session.
    pub(super) permit: bool,
    /// Bytes of weight.
    pub(super) weight: usize,
    /// Bytes announced as garbage to be.
    announced: usize,
}

/// Which part of the capacity one thread may keep as spare permits: all threads of this machine
/// together a two-thousandth. None where weights are a bound: few sessions may fit, and the permits
/// that are out tell how many there are.
fn spare_shift(is_weight_bound: bool) -> u32 {
    if is_weight_bound {
        return u32::BITS;
    }
    // Asked once per process: the answer comes from files.
    static THREADS: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    let threads =
        *THREADS.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from));
    11 + threads.next_power_of_two().ilog2()
}

impl Reservation {
    /// For a session of this weight, in bytes.
    #[inline(always)]
    pub(super) fn of_weight(needed: usize) -> Self {
        Self { needed, permit: false, weight: 0, announced: 0 }
    }

    /// What becomes of the permit of a victim: it is kept unless one is held.
    #[inline]
    pub(super) fn permit_of_victim(&self) -> Permit {
        if self.permit { Permit::GivenBack } else { Permit::Kept }
    }
}

impl<T> Weighing<T> {
    pub(crate) fn new(weigher: Box<Weigher<T>>, max_entry: usize, max_total: usize) -> Self {
        Self { weigher, max_entry, bytes: Bytes::new(max_total) }
    }

    /// Makes sure the session is weighed and not too heavy.
    fn weigh(&self, session: &Session<T>) -> Result<(), Rejection> {
        let block = session.block();
        if !block.is_weighed() {
            let weight = (self.weigher)(session);
            if weight > self.max_entry {
                return Err(Rejection::OverWeight);
            }
            block.fix_weight(u32::try_from(weight).unwrap_or(Block::<T>::WEIGHT_MAX));
        }
        if block.weight() as usize > self.max_entry { Err(Rejection::OverWeight) } else { Ok(()) }
    }
}

impl<T> Budget<T> {
    /// A budget for so many sessions; `usize::MAX` for no bound.
    pub(super) fn new(capacity: usize, weighing: Option<Weighing<T>>, garbage_limit: u64) -> Self {
        let is_weight_bound = weighing.as_ref().is_some_and(|weighing| weighing.bytes.is_limited());
        let permits = Permits::new(capacity, spare_shift(is_weight_bound));
        let weighing = weighing.map(Box::new);
        Self { weighing, garbage_limit, largest: AtomicUsize::new(0), permits }
    }

    pub(super) fn is_unbounded(&self) -> bool {
        self.permits.is_unlimited()
    }

    #[inline]
    pub(super) fn is_weighed(&self) -> bool {
        unlikely(self.weighing.is_some())
    }

    /// Whether the weights of the sessions are bounded together.
    #[inline]
    pub(super) fn is_weight_bound(&self) -> bool {
        self.weighing.as_ref().is_some_and(|weighing| weighing.bytes.is_limited())
    }

    /// The number of sessions where weights decide it.
    #[cold]
    pub(super) fn stored_by_weight(&self) -> Option<usize> {
        self.is_weight_bound().then(|| self.permits.out())
    }

    /// Whether an eighth of a limit, or less, is left.
    pub(super) fn is_nearly_used(&self) -> bool {
        self.permits.is_nearly_out()
            || self.weighing.as_ref().is_some_and(|weighing| weighing.bytes.is_nearly_out())
    }

    /// The weight of what is stored, and its limit, `usize::MAX` for none, in bytes; `None` without
    /// a weigher.
    pub(super) fn weight(&self) -> Option<(usize, usize)> {
        self.weighing.as_ref().map(|weighing| (weighing.bytes.used(), weighing.bytes.limit()))
    }

    #[inline]
    pub(super) fn garbage_limit(&self) -> u64 {
        self.garbage_limit
    }

    /// Weighs a session, which runs user code. False without a weigher.
    ///
    /// # Errors
    /// The session is too heavy.
    #[inline]
    pub(super) fn weigh(&self, session: &Session<T>) -> Result<bool, Rejection> {
        let Some(weighing) = &self.weighing else { return Ok(false) };
        weighing.weigh(session)?;
        Ok(true)
    }

    /// The weight of a session, in bytes; 0 without a weigher. Reads the block only with one.
    #[inline]
    pub(super) fn weight_of(&self, block: &Block<T>) -> usize {
        if self.is_weighed() { block.weight() as usize } else { 0 }
    }

    /// Notes the size of a session that is about to be added, where no weigher does.
    #[inline]
    pub(super) fn note_size(&self, block: &Block<T>)
    where
        T: 'static,
    {
        let size = size_of_whole_block(block);
        // ORDERING: Relaxed twice: a maximum.
        let is_larger = size > size_of_block::<T>() && !self.is_weighed();
        if is_larger && size > self.largest.load(Ordering::Relaxed) {
            self.largest.fetch_max(size, Ordering::Relaxed);
        }
    }

    /// What a retired session holds back until it is freed, in bytes: its block, and its weight
    /// where there is a weigher, which counts what is behind a secret's block already.
    #[inline]
    pub(super) fn footprint(&self, block: &Block<T>) -> u64
    where
        T: 'static,
    {
        let bytes = match self.is_weighed() {
            true => size_of_block::<T>() + self.weight_of(block),
            false => size_of_whole_block(block),
        };
        bytes as u64
    }

    /// Takes `bytes` of weight for a session, all or nothing.
    #[inline]
    pub(super) fn try_take_weight(&self, bytes: usize) -> bool {
        self.weighing.as_ref().is_none_or(|weighing| weighing.bytes.try_take(bytes))
    }

    /// Gives weight back.
    #[inline]
    pub(super) fn give_weight(&self, bytes: usize) {
        if let Some(weighing) = &self.weighing {
            weighing.bytes.give(bytes);
        }
    }

    /// Lets others know that an add will make garbage of so many bytes.
    pub(super) fn announce_garbage(&self, reservation: &mut Reservation, bytes: usize) {
        let Some(weighing) = &self.weighing else { return };
        weighing.bytes.announce(bytes);
        weighing.bytes.settle(reservation.announced);
        reservation.announced = bytes;
    }

    /// Gives back what an add has not used.
    #[inline]
    pub(super) fn give_back(&self, reservation: &Reservation, spare: &Spare) {
        if reservation.permit {
            self.permits.give(spare);
        }
        if let Some(weighing) = &self.weighing {
            weighing.bytes.give(reservation.weight);
            if reservation.announced > 0 {
                weighing.bytes.settle(reservation.announced);
            }
        }
    }

    /// What adds under way will make garbage of, this one included, in bytes.
    fn weight_in_hand(&self, reservation: &Reservation) -> usize {
        let Some(weighing) = &self.weighing else { return 0 };
        let Reservation { needed, weight, announced, .. } = *reservation;
        weighing.bytes.announced().saturating_add(needed.saturating_sub(weight + announced))
    }

    /// What of the garbage limit is spoken for: what is stored becomes garbage when it is removed,
    /// and removals are never refused, so what is stored counts too, as far as it is no more than
    /// half of the limit. `threads` may each have a session in hand.
    ///
    /// `is_enough` is asked first, with a bound that is cheap to know.
    pub(super) fn garbage_reserve(
        &self,
        reservation: &Reservation,
        threads: impl Fn() -> usize,
        is_enough: impl Fn(u64) -> bool,
    ) -> Option<u64> {
        // What is in hand, then what is stored, then what is garbage: the order in which bytes go
        // on.
        let in_hand = self.weight_in_hand(reservation);
        let most = (self.garbage_limit / 2).saturating_add(in_hand as u64);
        if is_enough(most) {
            return None;
        }
        // ORDERING: Relaxed: whoever adds more has said so before.
        let head = size_of_block::<T>().max(self.largest.load(Ordering::Relaxed));
        let in_hand = threads().saturating_mul(head).saturating_add(in_hand) as u64;
        let weight = self.weighing.as_ref().map_or(0, |weighing| weighing.bytes.used());
        let stored = self.permits.out().saturating_mul(head).saturating_add(weight) as u64;
        Some(stored.min(self.garbage_limit / 2).saturating_add(in_hand))
    }
}
