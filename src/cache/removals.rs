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
#![forbid(unsafe_code)]

use super::SessionCache;
use super::notify::Held;
use super::operation::Operation;
use crate::error::{Added, Rejected, Rejection, RemovalCause};
use crate::session::Session;
use crate::sync::{AtomicU64, MODELLED, Ordering, fence};
use std::fmt;

/// Removals of one stripe disturb whatever is on its way in it.
const STRIPES: usize = if MODELLED { 1 } else { 1024 };

/// One removal that has begun. Those under way are counted below that.
const BEGUN: u64 = 1 << 32;

pub(crate) struct Removals {
    /// `STRIPES` of them.
    stripes: Box<[AtomicU64]>,
}

/// A removal under way, of one stripe or of all.
pub(crate) struct Removing<'r>(&'r [AtomicU64]);

/// Notes which removals of a key were demanded so far: [`View::watch`](crate::View::watch).
#[derive(Clone, Copy)]
pub struct Watch {
    /// Whose it is: the address of the stripes.
    owner: usize,
    stripe: usize,
    seen: Option<u64>,
}

/// A session that is being added, unless it was removed since it was watched. While this lives, no
/// lookup finds it.
struct Arrival<'c, T: Send + Sync + 'static> {
    session: Held<'c, T>,
    removals: &'c Removals,
    watch: Watch,
}

impl Removals {
    /// `None` without memory for it.
    pub(crate) fn new() -> Option<Self> {
        let mut stripes = Vec::new();
        stripes.try_reserve_exact(STRIPES).ok()?;
        stripes.resize_with(STRIPES, || AtomicU64::new(0));
        Some(Self { stripes: stripes.into() })
    }

    /// Begins a removal of the key with this hash.
    pub(crate) fn begin(&self, hash: u64) -> Removing<'_> {
        Removing::begin(std::slice::from_ref(&self.stripes[stripe_of(hash)]))
    }

    pub(crate) fn watch(&self, hash: u64) -> Watch {
        let stripe = stripe_of(hash);
        // ORDERING: Acquire: sees what the hooks of a removal have done that is over; pairs with
        // `Removing::drop`. Model: `answer_beside_a_removal`.
        let word = self.stripes[stripe].load(Ordering::Acquire);
        Watch { owner: self.address(), stripe, seen: Some(word).filter(|word| word % BEGUN == 0) }
    }

    fn address(&self) -> usize {
        self.stripes.as_ptr().addr()
    }

    /// Whether a session that has come now may stay.
    pub(crate) fn may_stay(&self, watch: Watch) -> bool {
        // ORDERING: SeqCst: pairs with `Removing::begin`. Model: `late_session_beside_a_removal`.
        fence(Ordering::SeqCst);
        !self.is_disturbed(watch)
    }

    fn is_disturbed(&self, watch: Watch) -> bool {
        // ORDERING: Relaxed: see the fence above; elsewhere a look that need not be right.
        let seen = || self.stripes[watch.stripe].load(Ordering::Relaxed);
        watch.owner != self.address() || watch.seen != Some(seen())
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
        self.settings.watches_removals().then(|| Removing::begin(&self.removals.stripes))
    }

    pub(super) fn watch_hash(&self, hash: u64) -> Watch {
        match self.settings.watches_removals() {
            true => self.removals.watch(hash),
            false => Watch { owner: 0, stripe: 0, seen: None },
        }
    }

    /// [`add`](Self::add) of a session that was on its way since `watch` was made, unless its
    /// removal was demanded meanwhile.
    ///
    /// For a session that was taken and is given back. It is refused as well if another key was
    /// removed whose hash is alike (one key in 1024), or if [`clear`](Self::clear) or
    /// [`remove_if`](Self::remove_if) ran. A [`take`](Self::take) of what is stored is no removal;
    /// one that asks the second tier is.
    ///
    /// Where the removal is noticed when the session is stored already, it leaves again and is
    /// non-resumable, as after [`remove`](Self::remove). Hooks hear of both, and what it has
    /// replaced does not come back. No lookup finds the session before that is known and the hooks
    /// have run, in this cache or in another that holds the same object.
    ///
    /// # Errors
    /// Those of [`add`](Self::add); [`NotResumable`](Rejection::NotResumable) if it was removed, if
    /// another key or another cache was watched, or if this cache does not watch removals
    /// ([`SessionCacheBuilder::watch_removals`](crate::SessionCacheBuilder::watch_removals));
    /// [`Contention`](Rejection::Contention) where more than 30 such calls add this very object.
    ///
    /// # Panics
    /// As [`add`](Self::add). If the session was removed meanwhile, it is non-resumable then.
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
        self.keep(session, watch, RemovalCause::Removed, Self::add)
    }

    /// [`add_from_tier`](Self::add_from_tier) of a session that was asked for after `watch` was
    /// made, likewise. The same is done with what the miss hook supplies.
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
        self.keep(session, watch, RemovalCause::Flushed, Self::add_from_tier)
    }

    /// Whether a removal of a key, or of one that counts as the same
    /// ([`add_unless_removed`](Self::add_unless_removed)), was demanded since it was watched.
    pub fn has_removed_since(&self, watch: Watch) -> bool {
        self.removals.is_disturbed(watch)
    }

    #[cold]
    fn keep(
        &self,
        session: Session<T>,
        watch: Watch,
        cause: RemovalCause,
        add: impl FnOnce(&Self, Session<T>) -> Result<Added<T>, Rejected<T>>,
    ) -> Result<Added<T>, Rejected<T>> {
        let probe = self.probe_of(session.block());
        if watch.stripe != stripe_of(probe.hash()) || self.removals.is_disturbed(watch) {
            return Err(self.refuse(session, Rejection::NotResumable));
        }
        let Some(arrival) = Arrival::begin(self, &session, watch) else {
            return Err(self.refuse(session, Rejection::Contention));
        };
        let added = add(self, session);
        let has_come = added.as_ref().is_ok_and(Added::changed);
        if !has_come || self.removals.may_stay(watch) {
            return added;
        }
        // The removal may have searched before the session came. First the mark: a lookup may have
        // met the session already, and looks at it once its arrival is over.
        arrival.session.set_not_resumable();
        let operation = Operation::begin(self);
        operation.remove_what(|| operation.find_same(&arrival.session, &probe), cause);
        let replaced = |added| match added {
            Ok(Added::Replaced(old)) => Some(old),
            _ => None,
        };
        if let Some(old) = replaced(operation.finish(added, replaced)) {
            self.drop_handle(old);
        }
        Err(self.refuse(arrival.session.clone(), Rejection::NotResumable))
    }

    fn refuse(&self, session: Session<T>, reason: Rejection) -> Rejected<T> {
        self.domain.pin().state().counters.count_rejection(reason);
        Rejected::new(reason, session)
    }
}

impl<'c, T: Send + Sync + 'static> Arrival<'c, T> {
    /// `None` if there are too many of this object.
    fn begin(cache: &'c SessionCache<T>, session: &Session<T>, watch: Watch) -> Option<Self> {
        session.block().begin_arrival().then(|| {
            let session = Held::new(cache, session.clone());
            Self { session, removals: &cache.removals, watch }
        })
    }
}

impl<T: Send + Sync + 'static> Drop for Arrival<'_, T> {
    fn drop(&mut self) {
        // A hook has panicked perhaps, before it was asked whether the session may stay.
        if std::thread::panicking() && !self.removals.may_stay(self.watch) {
            self.session.set_not_resumable();
        }
        self.session.block().end_arrival();
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}
