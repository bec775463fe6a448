//! The one block of memory that a session is: head, key, dates, payload.
#![forbid(unsafe_code)]

use super::{Context, Generation, Protocol, SessionId};
use crate::slab::SizeClass;
use crate::sync::on_request::AtomicU64;
use crate::sync::untracked::AtomicU32;
use crate::sync::{AtomicUsize, Lifetime, MODELLED, Ordering};

/// Seconds, with [`UNSET`](Self::UNSET) for "not given".
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dates {
    pub(crate) created: u64,
    pub(crate) timeout: u64,
    pub(crate) deadline: u64,
}

impl Dates {
    pub(crate) const UNSET: u64 = u64::MAX;

    /// With these for what was not given.
    fn or(self, created: u64, timeout: u64) -> Self {
        let or = |date: u64, default: u64| if date == Self::UNSET { default } else { date };
        Self { created: or(self.created, created), timeout: or(self.timeout, timeout), ..self }
    }

    /// The deadline alone where a date is missing: the sum is the largest number then.
    #[inline]
    fn expires(self) -> u64 {
        self.created.saturating_add(self.timeout).min(self.deadline)
    }
}

/// Dates of which none is missing, and the expiry that follows from them.
#[derive(Clone, Copy)]
pub(crate) struct Dating {
    dated: Dates,
    expires: u64,
    is_alone: bool,
}

/// Everything a session is built from but its payload.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) id: SessionId,
    pub(crate) context: Context,
    pub(crate) protocol: Protocol,
    pub(crate) dates: Dates,
    pub(crate) generation: Generation,
    pub(crate) resumable: bool,
}

impl Draft {
    pub(crate) fn new(id: SessionId) -> Self {
        let dates = Dates { created: Dates::UNSET, timeout: Dates::UNSET, deadline: Dates::UNSET };
        Self {
            id,
            context: Context::NONE,
            protocol: Protocol::UNSPECIFIED,
            dates,
            generation: Generation::present(),
            resumable: true,
        }
    }
}

/// What a lookup compares at once, in one word: the length of the id, the protocol, and flags.
/// A hit at a glance has the first two flags at most.
struct Marks(u32);

impl Marks {
    /// Goes, and never comes back.
    const RESUMABLE: u32 = 1;
    /// The context is not `NONE`: only then is it looked at, since it lies in another cache line.
    const IN_CONTEXT: u32 = 2;
    /// A second tier supplied it. Comes, and never goes.
    const FROM_TIER: u32 = 4;
    /// One call that adds it unless it was removed meanwhile; there may be several.
    const ARRIVAL: u32 = 8;
    /// The room for their number.
    const ARRIVALS: u32 = 0b1111_1000;
    const LEN_SHIFT: u32 = 8;
    const PROTOCOL_SHIFT: u32 = 16;

    #[inline(always)]
    fn of(id: &SessionId, context: &Context, protocol: Protocol, resumable: bool) -> Self {
        let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
        let flags = flag(resumable, Self::RESUMABLE) | flag(!context.is_none(), Self::IN_CONTEXT);
        Self(
            flags
                | (id.len() as u32) << Self::LEN_SHIFT
                | u32::from(protocol.0) << Self::PROTOCOL_SHIFT,
        )
    }
}

/// Session memory. The first 64 bytes are all that a lookup without a context reads.
///
/// `INVARIANT(KEY-FROZEN)`: id, context, protocol, generation and payload never change after
/// construction. A key that changed while it was cached is CVE-2024-2511.
///
/// Dates and flags are words of their own: each is validated by the lookup that reads it, and
/// orders nothing else.
#[repr(C, align(16))]
pub(crate) struct Block<T> {
    /// Handles, plus one for each slot of a table that names the block.
    pub(crate) count: AtomicUsize,
    created: AtomicU64,
    expires: AtomicU64,
    id: SessionId,
    /// Of the memory that the block lies in.
    pub(super) class: Option<SizeClass>,
    protocol: Protocol,
    marks: AtomicU32,
    context: Context,
    pub(crate) payload: T,
    // What only adds and changes of dates look at.
    weight: AtomicU32,
    generation: Generation,
    timeout: AtomicU64,
    deadline: u64,
    /// Nothing but in a model.
    pub(crate) lifetime: Lifetime,
}

const _: () = assert!(std::mem::offset_of!(Block<u8>, context) == 64 || MODELLED);

/// How a stored session compares with the key that is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyMatch {
    Same,
    /// Same id, stored for another context: must not be seen, is worth counting.
    OtherContext,
    Different,
}

impl<T> Block<T> {
    const WEIGHT_UNSET: u32 = u32::MAX;
    /// The largest weight of one session, in bytes.
    pub(crate) const WEIGHT_MAX: u32 = u32::MAX - 1;

    pub(super) fn new(draft: Draft, payload: T, class: Option<SizeClass>) -> Self {
        let marks = Marks::of(&draft.id, &draft.context, draft.protocol, draft.resumable);
        Self {
            count: AtomicUsize::new(1),
            created: AtomicU64::new(draft.dates.created),
            expires: AtomicU64::new(draft.dates.expires()),
            id: draft.id,
            class,
            weight: AtomicU32::new(Self::WEIGHT_UNSET),
            protocol: draft.protocol,
            marks: AtomicU32::new(marks.0),
            context: draft.context,
            generation: draft.generation,
            timeout: AtomicU64::new(draft.dates.timeout),
            deadline: draft.dates.deadline,
            lifetime: Lifetime::begin(),
            payload,
        }
    }

    #[inline]
    pub(crate) fn id(&self) -> &SessionId {
        &self.id
    }

    #[inline]
    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    #[inline]
    pub(crate) fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    // ORDERING: Relaxed for every date and flag below but where something else is said: single
    // words that publish nothing; the payload they speak of was published with the block's address.

    /// The generation in which the peer was authenticated.
    #[inline]
    pub(crate) fn generation(&self) -> Generation {
        self.generation
    }

    /// Compares the full key, id first.
    #[inline]
    pub(crate) fn match_key(
        &self,
        id: &SessionId,
        context: &Context,
        protocol: Protocol,
    ) -> KeyMatch {
        self.lifetime.touch();
        let same_id = self.id == *id && self.protocol == protocol;
        match same_id {
            false => KeyMatch::Different,
            true if self.is_in(context) => KeyMatch::Same,
            true => KeyMatch::OtherContext,
        }
    }

    #[inline]
    fn is_in(&self, context: &Context) -> bool {
        match self.marks.load(Ordering::Relaxed) & Marks::IN_CONTEXT {
            0 => context.is_none(),
            _ => self.context == *context,
        }
    }

    /// Whether the session has this key and is usable: resumable, not expired, not of the future.
    /// What nearly every lookup finds, in as few steps as it can be told.
    #[inline(always)]
    pub(crate) fn is_hit(
        &self,
        id: &SessionId,
        context: &Context,
        protocol: Protocol,
        now: u64,
    ) -> bool {
        self.lifetime.touch();
        let has_marks =
            self.marks.load(Ordering::Relaxed) == Marks::of(id, context, protocol, true).0;
        has_marks
            && self.id.has_bytes_of(id)
            && (context.is_none() || self.context == *context)
            && self.created.load(Ordering::Relaxed) <= now
            && !self.is_expired(now)
    }

    #[inline]
    pub(crate) fn is_resumable(&self) -> bool {
        self.marks.load(Ordering::Relaxed) & Marks::RESUMABLE != 0
    }

    pub(crate) fn set_not_resumable(&self) {
        // `remove` promises that whoever comes after it is refused. A store might wait in this
        // processor's buffer until long after `remove` has returned; an exchange is seen by all
        // before anything that follows it (on x86-64; elsewhere it is no later than a store).
        if self.is_resumable() {
            self.marks.fetch_and(!Marks::RESUMABLE, Ordering::Relaxed);
        }
    }

    /// Whether a second tier supplied the session, so that another process may have it too.
    pub(crate) fn is_from_tier(&self) -> bool {
        self.marks.load(Ordering::Relaxed) & Marks::FROM_TIER != 0
    }

    /// Marks a session that a second tier supplied, or that was taken: whoever adds it again is
    /// one. Answers whether it was marked. Fast lookups leave it to slow ones.
    pub(crate) fn set_from_tier(&self) -> bool {
        self.marks.fetch_or(Marks::FROM_TIER, Ordering::Relaxed) & Marks::FROM_TIER != 0
    }

    /// No lookup finds the session from now on, in whatever cache, until
    /// [`end_arrival`](Self::end_arrival). False if too many calls have begun that already.
    pub(crate) fn begin_arrival(&self) -> bool {
        let is_full = |marks: u32| marks & Marks::ARRIVALS == Marks::ARRIVALS;
        let begin = |marks: u32| (!is_full(marks)).then(|| marks + Marks::ARRIVAL);
        self.marks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, begin).is_ok()
    }

    pub(crate) fn end_arrival(&self) {
        self.marks.fetch_sub(Marks::ARRIVAL, Ordering::Relaxed);
    }

    pub(crate) fn is_arriving(&self) -> bool {
        self.marks.load(Ordering::Relaxed) & Marks::ARRIVALS != 0
    }

    pub(crate) fn created(&self) -> Option<u64> {
        Some(self.created.load(Ordering::Relaxed)).filter(|&seconds| seconds != Dates::UNSET)
    }

    pub(crate) fn timeout(&self) -> Option<u64> {
        Some(self.timeout.load(Ordering::Relaxed)).filter(|&seconds| seconds != Dates::UNSET)
    }

    pub(crate) fn deadline(&self) -> Option<u64> {
        Some(self.deadline).filter(|&seconds| seconds != Dates::UNSET)
    }

    /// The last valid second; the largest number when nothing bounds it yet.
    #[inline]
    pub(crate) fn expires(&self) -> u64 {
        self.expires.load(Ordering::Relaxed)
    }

    /// Valid through its last second, as OpenSSL: `now > created + timeout` is expired.
    #[inline]
    pub(crate) fn is_expired(&self, now: u64) -> bool {
        now > self.expires()
    }

    /// Dated after `now`: kept, but not to be used yet.
    #[inline]
    pub(crate) fn is_future(&self, now: u64) -> bool {
        let created = self.created.load(Ordering::Relaxed);
        created > now && created != Dates::UNSET
    }

    /// What `add` makes of the dates: the session's own, and these where it has none. `None` if the
    /// session is expired, or would be then. Called with a handle in hand, which nobody is shown
    /// until [`date`](Self::date).
    #[inline]
    pub(crate) fn dating(&self, now: u64, timeout: u64) -> Option<Dating> {
        // ORDERING: Acquire: sees the dates that former holders set; pairs with the Release of
        // their drops. Whoever holds the only count has nobody beside it, and nobody comes as long
        // as it keeps the handle to itself.
        // Model: `dates_after_a_holder`.
        let is_alone = self.count.load(Ordering::Acquire) == 1;
        let dated = self.dates().or(now, timeout);
        // No later than without the dates that are added.
        let expires = dated.expires();
        (now <= expires).then_some(Dating { dated, expires, is_alone })
    }

    /// Gives an undated session its date and its timeout: what the first cache does. Without an
    /// exchange if the caller has the only handle.
    #[inline]
    pub(crate) fn date(&self, Dating { dated, expires, is_alone }: Dating) {
        if !is_alone {
            return self.date_shared(dated);
        }
        self.created.store(dated.created, Ordering::Relaxed);
        self.timeout.store(dated.timeout, Ordering::Relaxed);
        self.expires.store(expires, Ordering::Relaxed);
    }

    /// [`date`](Self::date) of a session that others hold too, who may set dates meanwhile.
    fn date_shared(&self, dated: Dates) {
        let dates = self.dates();
        let is_computed = self.expires() == dates.expires();
        if dates.created != Dates::UNSET && dates.timeout != Dates::UNSET && is_computed {
            return;
        }
        let (unset, relaxed) = (Dates::UNSET, Ordering::Relaxed);
        let _ = self.created.compare_exchange(unset, dated.created, relaxed, relaxed);
        let _ = self.timeout.compare_exchange(unset, dated.timeout, relaxed, relaxed);
        self.recompute_expiry();
    }

    pub(crate) fn set_created(&self, seconds: u64) {
        self.created.store(seconds.min(Dates::UNSET - 1), Ordering::Relaxed);
        self.recompute_expiry();
    }

    /// Dates a stored session anew, never backwards: a thread that slept must not undo a later
    /// renewal.
    pub(crate) fn renew(&self, now: u64) {
        let later = |created: u64| (created < now).then_some(now.min(Dates::UNSET - 1));
        if self.created.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later).is_ok() {
            self.recompute_expiry();
        }
    }

    pub(crate) fn set_timeout(&self, seconds: u64) {
        self.timeout.store(seconds.min(Dates::UNSET - 1), Ordering::Relaxed);
        self.recompute_expiry();
    }

    fn dates(&self) -> Dates {
        Dates {
            created: self.created.load(Ordering::Relaxed),
            timeout: self.timeout.load(Ordering::Relaxed),
            deadline: self.deadline,
        }
    }

    /// Recomputes until the inputs stand still, so that the last setter to write the expiry has
    /// seen what all others set. An expiry that was written since the inputs were read is of newer
    /// ones perhaps, and stays.
    fn recompute_expiry(&self) {
        // ORDERING: Acquire: the dates behind this expiry, or newer ones, are read next; pairs with
        // the exchange. Model: `dates_that_were_set_are_in_force`.
        let mut seen = self.expires.load(Ordering::Acquire);
        let mut dates = self.dates();
        loop {
            // ORDERING: AcqRel: Release: whoever writes the expiry after this thread sees what it
            // set; Acquire: this thread sees what those before it set. A fence would order the
            // looks, not the writes. Acquire on failure: as the load above. Model:
            // `dates_two_setters`, `dates_that_were_set_are_in_force`, `dates_under_a_deadline`.
            let next = dates.expires();
            let written =
                self.expires.compare_exchange(seen, next, Ordering::AcqRel, Ordering::Acquire);
            let before = dates;
            dates = self.dates();
            if written.is_ok() && (dates.created, dates.timeout) == (before.created, before.timeout)
            {
                return;
            }
            seen = written.map_or_else(|newer| newer, |_| next);
        }
    }

    /// Dates a session anew that has just been stored with the date `seen`, unless somebody did
    /// meanwhile.
    pub(crate) fn redate(&self, seen: Option<u64>, now: u64) {
        let (seen, now) = (seen.unwrap_or(Dates::UNSET), now.min(Dates::UNSET - 1));
        if self.created.compare_exchange(seen, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.recompute_expiry();
        }
    }

    /// The weight fixed at the first weighing, in bytes; 0 when the session was never weighed.
    #[inline]
    pub(crate) fn weight(&self) -> u32 {
        match self.weight.load(Ordering::Relaxed) {
            Self::WEIGHT_UNSET => 0,
            weight => weight,
        }
    }

    pub(crate) fn is_weighed(&self) -> bool {
        self.weight.load(Ordering::Relaxed) != Self::WEIGHT_UNSET
    }

    /// Fixes the weight. The first weighing counts, whichever cache did it: what was charged must
    /// be what is given back, however often the weigher would change its mind.
    pub(crate) fn fix_weight(&self, weight: u32) {
        let weight = weight.min(Self::WEIGHT_MAX);
        let unset = Self::WEIGHT_UNSET;
        let _ = self.weight.compare_exchange(unset, weight, Ordering::Relaxed, Ordering::Relaxed);
    }
}
