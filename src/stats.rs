//! Counting without contention: every thread has counters of its own, `stats` adds them up.
#![forbid(unsafe_code)]

use crate::error::{Rejection, RemovalCause};
use crate::sync::SingleWriterCounter;
use std::fmt;

/// What has been counted so far (`SSL_CTX_sess_number(3)` and what operators ask for besides).
///
/// Every counter includes all operations that happen-before the call in the memory model's sense:
/// they ended, and this thread has synchronized with that. Operations that run beside the call may
/// or may not be included.
///
/// Lookups are `get`, `read` and `take`. Their number is
/// `hits + misses + timeouts + context_misses`, whatever the mode. At quiescence
/// `added - (removed + taken + evicted + expired + flushed) == number`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// Sessions stored now (`SSL_CTX_sess_number`).
    pub number: u64,
    /// Lookups that handed out a session to be used. Whether it was resumed is for the handshake to
    /// say: see `resumed`.
    pub hits: u64,
    /// Lookups that found nothing (`SSL_CTX_sess_misses`), or a session that may not be used.
    pub misses: u64,
    /// Lookups that found an expired session (`SSL_CTX_sess_timeouts`).
    pub timeouts: u64,
    /// Lookups of an id that is stored for other contexts only.
    pub context_misses: u64,
    /// Sessions that the miss hook supplied (`SSL_CTX_sess_cb_hits`). Their lookups count as misses
    /// too.
    pub tier_hits: u64,
    /// Sessions evicted because the cache was full (`SSL_CTX_sess_cache_full`); the same as
    /// `evicted`.
    pub cache_full: u64,
    /// Client handshakes started (`SSL_CTX_sess_connect`), as recorded by an adapter.
    pub connect: u64,
    /// Client handshakes completed (`SSL_CTX_sess_connect_good`).
    pub connect_good: u64,
    /// Client renegotiations (`SSL_CTX_sess_connect_renegotiate`).
    pub connect_renegotiate: u64,
    /// Server handshakes started (`SSL_CTX_sess_accept`).
    pub accept: u64,
    /// Server handshakes completed (`SSL_CTX_sess_accept_good`).
    pub accept_good: u64,
    /// Server renegotiations (`SSL_CTX_sess_accept_renegotiate`).
    pub accept_renegotiate: u64,
    /// Handshakes, of clients and servers, that were completed by resuming a session
    /// (`SSL_CTX_sess_hits`), as recorded by an adapter.
    pub resumed: u64,
    /// Adds of an absent key.
    pub added: u64,
    /// Adds that replaced another object with the same key.
    pub replaced: u64,
    /// Adds of the very object that was stored.
    pub identical: u64,
    /// Adds that were refused.
    pub rejected: u64,
    /// The same by the reason.
    pub rejections: Rejections,
    /// Sessions removed by `remove` and `remove_id`, and those found non-resumable.
    pub removed: u64,
    /// Sessions taken.
    pub taken: u64,
    /// Sessions evicted to make room.
    pub evicted: u64,
    /// Expired sessions removed by a lookup or an add.
    pub expired: u64,
    /// Sessions removed by `flush_expired` and `clear`.
    pub flushed: u64,
    /// Retired sessions that are not yet freed.
    pub garbage: Garbage,
    /// Payload drops that panicked during deferred destruction. The panic went no further.
    pub drop_panics: u64,
}

/// How many adds were refused for each reason.
///
/// ```
/// use sessile::{Rejection, Session, SessionCache, SessionId};
///
/// let cache = SessionCache::new(100)?;
/// let session = Session::new(SessionId::from([1; 32]), "state");
/// session.set_not_resumable();
/// assert!(cache.add(session).is_err());
/// assert_eq!(cache.stats().rejections.of(Rejection::NotResumable), 1);
/// # Ok::<(), sessile::BuildError>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Rejections([u64; Rejection::ALL.len()]);

impl Rejections {
    /// The adds that were refused for this reason.
    pub fn of(&self, reason: Rejection) -> u64 {
        self.0[reason as usize]
    }

    /// All reasons with their counts, also those that never occurred.
    pub fn iter(&self) -> impl Iterator<Item = (Rejection, u64)> + use<'_> {
        Rejection::ALL.into_iter().zip(self.0)
    }
}

/// The reasons that occurred.
impl fmt::Debug for Rejections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().filter(|&(_, count)| count > 0)).finish()
    }
}

/// A map from the reasons' names.
#[cfg(feature = "serde")]
#[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
impl serde::Serialize for Rejections {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(reason, count)| (format!("{reason:?}"), count)))
    }
}

/// Sessions that were removed and are not freed yet: a guard may still reach them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Garbage {
    /// Retirements. A session that was stored and removed twice counts twice.
    pub sessions: u64,
    /// Bytes of the sessions, and their weights if a weigher is set.
    pub bytes: u64,
}

/// A handshake event that an adapter records: the counters of `SSL_CTX_sess_connect(3)` and its
/// family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Handshake {
    /// A client started a handshake.
    Connect,
    /// A client completed a handshake.
    ConnectGood,
    /// A client renegotiated.
    ConnectRenegotiate,
    /// A server started a handshake.
    Accept,
    /// A server completed a handshake.
    AcceptGood,
    /// A server renegotiated.
    AcceptRenegotiate,
    /// A client or server completed a handshake by resuming a session.
    Resumed,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Counter {
    Hits,
    Misses,
    Added,
    Taken,
    Evicted,
    // Up to here they lie in the line that a thread's part begins with.
    Replaced,
    Identical,
    Timeouts,
    ContextMisses,
    TierHits,
    Connect,
    ConnectGood,
    ConnectRenegotiate,
    Accept,
    AcceptGood,
    AcceptRenegotiate,
    Resumed,
    Rejected,
    Removed,
    Expired,
    Flushed,
}

const COUNTERS: usize = Counter::Flushed as usize + 1;

/// One thread's counters.
#[derive(Debug, Default)]
pub(crate) struct Counters(
    [SingleWriterCounter; COUNTERS],
    [SingleWriterCounter; Rejection::ALL.len()],
);

impl Counters {
    #[inline]
    pub(crate) fn count(&self, counter: Counter) -> u64 {
        self.0[counter as usize].add(1)
    }

    /// Counts an add that was refused.
    pub(crate) fn count_rejection(&self, reason: Rejection) {
        self.count(Counter::Rejected);
        self.1[reason as usize].add(1);
    }

    pub(crate) fn add_to(&self, stats: &mut Stats) {
        let get = |counter: Counter| self.0[counter as usize].get();
        stats.hits += get(Counter::Hits);
        stats.misses += get(Counter::Misses);
        stats.timeouts += get(Counter::Timeouts);
        stats.context_misses += get(Counter::ContextMisses);
        stats.tier_hits += get(Counter::TierHits);
        stats.connect += get(Counter::Connect);
        stats.connect_good += get(Counter::ConnectGood);
        stats.connect_renegotiate += get(Counter::ConnectRenegotiate);
        stats.accept += get(Counter::Accept);
        stats.accept_good += get(Counter::AcceptGood);
        stats.accept_renegotiate += get(Counter::AcceptRenegotiate);
        stats.resumed += get(Counter::Resumed);
        stats.added += get(Counter::Added);
        stats.replaced += get(Counter::Replaced);
        stats.identical += get(Counter::Identical);
        stats.rejected += get(Counter::Rejected);
        for (sum, tally) in stats.rejections.0.iter_mut().zip(&self.1) {
            *sum += tally.get();
        }
        stats.removed += get(Counter::Removed);
        stats.taken += get(Counter::Taken);
        stats.evicted += get(Counter::Evicted);
        stats.cache_full = stats.evicted;
        stats.expired += get(Counter::Expired);
        stats.flushed += get(Counter::Flushed);
    }
}

/// The sessions stored, from what all threads counted. `counters` walks over the threads anew each
/// time.
///
/// Additions are summed up before removals, and every thread counts a removal before it gives the
/// permit on, so the result is never above what was stored at the moment between the two sums. A
/// thread that came since the additions were read may have removed one of them, which is why the
/// walk must be a new one.
pub(crate) fn number<'c, I: Iterator<Item = &'c Counters>>(counters: impl Fn() -> I) -> usize {
    use Counter::{Added, Evicted, Expired, Flushed, Removed, Taken};

    let sum = |counter: Counter| counters().map(|one| one.0[counter as usize].get()).sum::<u64>();
    let added = sum(Added);
    let left: u64 = [Removed, Taken, Evicted, Expired, Flushed].map(sum).iter().sum();
    added.saturating_sub(left) as usize
}

impl From<RemovalCause> for Counter {
    fn from(cause: RemovalCause) -> Self {
        match cause {
            RemovalCause::Replaced => Self::Replaced,
            RemovalCause::Removed => Self::Removed,
            RemovalCause::Taken => Self::Taken,
            RemovalCause::Evicted => Self::Evicted,
            RemovalCause::Expired => Self::Expired,
            RemovalCause::Flushed => Self::Flushed,
        }
    }
}

impl From<Handshake> for Counter {
    fn from(event: Handshake) -> Self {
        match event {
            Handshake::Connect => Self::Connect,
            Handshake::ConnectGood => Self::ConnectGood,
            Handshake::ConnectRenegotiate => Self::ConnectRenegotiate,
            Handshake::Accept => Self::Accept,
            Handshake::AcceptGood => Self::AcceptGood,
            Handshake::AcceptRenegotiate => Self::AcceptRenegotiate,
            Handshake::Resumed => Self::Resumed,
        }
    }
}
