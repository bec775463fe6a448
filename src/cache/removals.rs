//! Removals that a program demands, told to those whose session is on its way to the cache.
//!
//! A session is on its way while a second tier is asked for it, or while a handshake has taken it
//! and may give it back. A removal that happens meanwhile finds nothing, and the session must not
//! come after it. So each removal counts itself in a word of its key's stripe, before it searches
//! and until its hooks have run, and a session that is on its way stays only if the word says that
//! none was under way when it set out, and none has begun since.
//!
//! That is asked once the session is stored, where a removal that comes later finds it. Until it is
//! answered the session is marked as arriving, and no lookup finds it: INVARIANT(ARRIVING). Who
//! could take it meanwhile could give it back, and would know nothing of the removal.
//!
//! A take that asks the second tier is counted likewise, in a word of its own: it outdates answers
//! of the tier, and no session that somebody has taken and gives back.
#![forbid(unsafe_code)]

use super::SessionCache;
use super::notify::Held;
use super::operation::Operation;
use crate::error::{Added, Rejected, Rejection, RemovalCause};
use crate::session::Session;
use crate::sync::{AtomicU64, MODELLED, Ordering, fence};
use std::cell::Cell;
use std::fmt;

/// Removals of one stripe disturb whatever is on its way in it.
const STRIPES: usize = if MODELLED { 1 } else { 1024 };

/// One removal that has begun. Those under way are counted below that.
const BEGUN: u64 = 1 << 32;

/// `STRIPES` words of each kind.
pub(crate) struct Removals {
    removals: Box<[AtomicU64]>,
    /// Takes that leave nothing to answers of the second tier.
    takes: Box<[AtomicU64]>,
}

/// A removal under way, of one stripe or of all.
pub(crate) struct Removing<'r>(&'r [AtomicU64]);

/// Notes which removals of a key were demanded so far: [`View::watch`](crate::View::watch).
#[derive(Clone, Copy)]
pub struct Watch {
    /// Whose it is: the address of the stripes.
    owner: usize,
    stripe: usize,
    removals: Option<u64>,
    takes: Option<u64>,
}

/// What a session comes back from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Somebody has taken it, and gives it back.
    Taken,
    /// A second tier answered it.
    Tier,
}

/// A session that is being added, unless it was removed since it was watched. No lookup finds it
/// until this is over.
struct Arrival<'c, T: Send + Sync + 'static> {
    session: Held<'c, T>,
    is_over: Cell<bool>,
}

impl Removals {
    /// `None` without memory for it.
    pub(crate) fn new() -> Option<Self> {
        let words = || {
            let mut words = Vec::new();
            words.try_reserve_exact(STRIPES).ok()?;
            words.resize_with(STRIPES, || AtomicU64::new(0));
            Some(words.into())
        };
        Some(Self { removals: words()?, takes: words()? })
    }

    /// Begins a removal of the key with this hash.
    pub(crate) fn begin(&self, hash: u64) -> Removing<'_> {
        Removing::begin(std::slice::from_ref(&self.removals[stripe_of(hash)]))
    }

    pub(crate) fn watch(&self, hash: u64) -> Watch {
        let stripe = stripe_of(hash);
        // ORDERING: Acquire: sees what the hooks of a removal have done that is over; pairs with
        // `Removing::drop`. Model: `answer_beside_a_removal`, `answer_beside_a_take`.
        let look = |words: &[AtomicU64]| words[stripe].load(Ordering::Acquire);
        let idle = |word: u64| Some(word).filter(|word| word % BEGUN == 0);
        let (removals, takes) = (idle(look(&self.removals)), idle(look(&self.takes)));
        Watch { owner: self.address(), stripe, removals, takes }
    }

    fn address(&self) -> usize {
        self.removals.as_ptr().addr()
    }

    /// Whether a session that has come now may stay.
    pub(crate) fn may_stay(&self, way: Way, watch: Watch) -> bool {
        // ORDERING: SeqCst: pairs with `Removing::begin`. Model: `late_session_beside_a_removal`.
        fence(Ordering::SeqCst);
        !self.is_disturbed(way, watch)
    }

    fn is_disturbed(&self, way: Way, watch: Watch) -> bool {
        // ORDERING: Relaxed: see the fence above. Without it, a look that may be late.
        let now = |words: &[AtomicU64]| Some(words[watch.stripe].load(Ordering::Relaxed));
        watch.owner != self.address()
            || watch.removals != now(&self.removals)
            || (way == Way::Tier && watch.takes != now(&self.takes))
    }
}

fn stripe_of(hash: u64) -> usize {
    hash as usize % STRIPES
}

impl<'r> Removing<'r> {
    fn begin(stripes: &'r [AtomicU64]) -> Self {
        stripes.iter().for_each(|stripe| {
            // ORDERING: Relaxed: see the fence.
            stripe.fetch_add(BEGUN + 1, Ordering::Relaxed);
        });
        // ORDERING: SeqCst: pairs with `Removals::may_stay`. Either the search that follows finds
        // the session that was added before that fence, or this removal is seen behind it. Model:
        // `late_session_beside_a_removal`.
        fence(Ordering::SeqCst);
        Self(stripes)
    }
}

impl Drop for Removing<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|stripe| {
            // ORDERING: Release: pairs with `watch`. Model: `answer_beside_a_removal`.
            stripe.fetch_sub(1, Ordering::Release);
        });
    }
}

impl<T: Send + Sync + 'static> SessionCache<T> {
    /// Begins a removal of the key with this hash, if anybody watches.
    #[inline]
    pub(super) fn begin_removal(&self, hash: u64) -> Option<Removing<'_>> {
        self.settings.watches_removals().then(|| self.removals.begin(hash))
    }

    /// Begins a removal of keys that are not known, if anybody watches.
    pub(super) fn begin_removal_of_all(&self) -> Option<Removing<'_>> {
        self.settings.watches_removals().then(|| Removing::begin(&self.removals.removals))
    }

    /// Begins a take that leaves nothing to the tier's answers, if anybody watches.
    pub(super) fn begin_take(&self, hash: u64) -> Option<Removing<'_>> {
        let takes = || std::slice::from_ref(&self.removals.takes[stripe_of(hash)]);
        self.settings.watches_removals().then(|| Removing::begin(takes()))
    }

    pub(super) fn watch_hash(&self, hash: u64) -> Watch {
        match self.settings.watches_removals() {
            true => self.removals.watch(hash),
            false => Watch { owner: 0, stripe: 0, removals: None, takes: None },
        }
    }

    /// [`add`](Self::add) of a session that was on its way since `watch` was made, unless its
    /// removal was demanded meanwhile.
    ///
    /// For a session that was taken and is given back. It is refused as well if another key was
    /// removed whose hash is alike (one key in 1024), or if [`clear`](Self::clear) or
    /// [`remove_if`](Self::remove_if) ran. A [`take`](Self::take) is no removal.
    ///
    /// Where the removal is noticed when the session is stored already, it leaves again and is
    /// non-resumable, as after [`remove`](Self::remove). Hooks hear that it left, and what it has
    /// replaced does not come back. No lookup finds the session before that is known, in this cache
    /// or in another that holds the same object. An [`add`](Self::add) of this very object
    /// meanwhile answers [`Identical`](Added::Identical).
    ///
    /// # Errors
    /// Those of [`add`](Self::add); [`NotResumable`](Rejection::NotResumable) if it was removed, if
    /// another key or another cache was watched, or if this cache does not watch removals
    /// ([`SessionCacheBuilder::watch_removals`](crate::SessionCacheBuilder::watch_removals));
    /// [`Contention`](Rejection::Contention) where more than 30 such calls add this very object.
    ///
    /// # Panics
    /// As [`add`](Self::add).
    ///
    /// ```
    /// use sessile::{Context, Session, SessionCache, SessionId};
    ///
    /// let cache = SessionCache::builder().capacity(100).watch_removals(true).build()?;
    /// let (id, view) = (SessionId::from([1; 32]), cache.view(Context::NONE));
    /// cache.add(Session::new(id, "state"))?;
    /// let watch = view.watch(&id); // first
    /// let taken = cache.take(&id).unwrap();
    /// assert!(!cache.remove_id(&id)); // it is not there
    /// let again = Session::new(id, *taken);
    /// assert!(cache.add_unless_removed(again, watch).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_unless_removed(
        &self,
        session: Session<T>,
        watch: Watch,
    ) -> Result<Added<T>, Rejected<T>> {
        self.keep(session, Way::Taken, watch)
    }

    /// [`add_from_tier`](Self::add_from_tier) of a session that was asked for after `watch` was
    /// made, likewise. A take that asks the miss hook, or takes what a tier supplied, is a removal
    /// here: the tier gives its session to the taker. The same is done with what the hook supplies.
    ///
    /// # Errors
    /// Those of [`add_unless_removed`](Self::add_unless_removed).
    ///
    /// # Panics
    /// As [`add`](Self::add).
    pub fn add_from_tier_unless_removed(
        &self,
        session: Session<T>,
        watch: Watch,
    ) -> Result<Added<T>, Rejected<T>> {
        self.keep(session, Way::Tier, watch)
    }

    /// Whether a removal of a key, or of one that counts as the same
    /// ([`add_unless_removed`](Self::add_unless_removed)), was demanded since it was watched.
    pub fn has_removed_since(&self, watch: Watch) -> bool {
        self.removals.is_disturbed(Way::Taken, watch)
    }

    #[cold]
    fn keep(&self, session: Session<T>, way: Way, watch: Watch) -> Result<Added<T>, Rejected<T>> {
        let probe = self.probe_of(session.block());
        if watch.stripe != stripe_of(probe.hash()) || self.removals.is_disturbed(way, watch) {
            return Err(self.refuse(session, Rejection::NotResumable));
        }
        if self.is_stored(&session, &probe, self.time.now()) {
            // It is not to be hidden.
            self.drop_handle(session);
            return Ok(Added::Identical);
        }
        let Some(arrival) = Arrival::begin(self, &session) else {
            return Err(self.refuse(session, Rejection::Contention));
        };
        let settle = |operation: &Operation<'_, T>| {
            let stays = self.removals.may_stay(way, watch);
            if stays {
                // Hooks find what they hear of.
                arrival.end();
            } else {
                // The removal may have searched before the session came. Whoever has met the
                // session already looks at its marks afterwards.
                arrival.end_in_vain();
                let find = || operation.find_same(&arrival.session, &probe);
                operation.remove_what(find, way.cause());
            }
            stays
        };
        match way {
            Way::Taken => self.store(session, self.settings.wants_added(), Some(&settle)),
            Way::Tier => self.store_from_tier(session, Some(&settle)),
        }
    }

    fn refuse(&self, session: Session<T>, reason: Rejection) -> Rejected<T> {
        self.domain.pin().state().counters.count_rejection(reason);
        Rejected::new(reason, session)
    }
}

impl Way {
    /// Why a session leaves that was removed on its way: a tier's answer is no session of its own.
    fn cause(self) -> RemovalCause {
        match self {
            Self::Taken => RemovalCause::Removed,
            Self::Tier => RemovalCause::Flushed,
        }
    }
}

impl<'c, T: Send + Sync + 'static> Arrival<'c, T> {
    /// `None` if there are too many of this object.
    fn begin(cache: &'c SessionCache<T>, session: &Session<T>) -> Option<Self> {
        let is_begun = session.block().begin_arrival();
        is_begun
            .then(|| Self { session: Held::new(cache, session.clone()), is_over: Cell::new(false) })
    }

    fn end(&self) {
        if !self.is_over.replace(true) {
            self.session.block().end_arrival();
        }
    }

    /// The session is arriving for ever, and not resumable.
    fn end_in_vain(&self) {
        self.is_over.set(true);
        self.session.set_not_resumable();
    }
}

impl<T: Send + Sync + 'static> Drop for Arrival<'_, T> {
    fn drop(&mut self) {
        // It was refused, or stored before, or the weigher has panicked.
        self.end();
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}
