//! Which session goes when there is no room: pure decisions over what is in a set.
#![forbid(unsafe_code)]

/// The order in which sessions are evicted.
///
/// Expired ones go first under every policy. Above 14 sessions an `add` looks at about twenty of
/// them and then, while something may have expired and
/// [`Mode::auto_flush`](crate::Mode::auto_flush) is on, at up to sixteen buckets more. Measured at
/// 2,000 to 1,000,000 sessions: while a tenth of what is stored has expired, less than one `add` in
/// a hundred evicts a session that has not; where one in a hundred has, most do.
///
/// Sessions that share an id, in different contexts, share fourteen slots, whatever the size of the
/// cache. Where more than three of them are among fourteen, the next one displaces the last of
/// them, and not the oldest session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// The least recently used. Exact in a cache of up to 14 sessions; above that the oldest of the
    /// newcomer's fourteen slots, by ages of a 32nd of the capacity in adds. On traces of TLS
    /// sessions that keeps 99 % of the hits of an exact list. It does not where 2,000 sessions
    /// return in one order and then in the reverse, a sawtooth: 95 % at a capacity of 1,024, 84 %
    /// at 1,500.
    #[default]
    Lru,
    /// The first that came in (BoringSSL, OpenSSL 1.1.1). As exact as `Lru`; lookups write nothing.
    Fifo,
    /// The one that expires soonest (OpenSSL 3 and 4). Exact in a cache of up to 14 sessions, of
    /// the newcomer's fourteen slots above that.
    SoonestExpiry,
}

/// Sessions that were never used may be this many of a bucket while used ones are protected from
/// them.
const UNTOUCHED_PER_BUCKET: usize = 2;

/// Where a candidate stands in the order of eviction; a larger rank goes earlier. From the top:
/// expired or not, nearness of the expiry, age, unused or not. Never 0.
pub(crate) type Rank = u64;

const EXPIRED: Rank = 1 << 63;
const EXPIRY_SHIFT: u32 = 8;
/// Expiries from here on, a billion years away, count as one.
const EXPIRES_MAX: u64 = (EXPIRED >> EXPIRY_SHIFT) - 1;

impl Policy {
    /// Whether a lookup makes a session younger.
    #[inline]
    pub(crate) fn ages_by_use(self) -> bool {
        matches!(self, Self::Lru)
    }

    /// Whether the dates of the candidates decide.
    #[inline]
    pub(crate) fn needs_expiry(self) -> bool {
        matches!(self, Self::SoonestExpiry)
    }

    /// What a date adds to a rank: expired before unexpired, then by the policy.
    #[inline]
    pub(crate) fn rank_of_date(self, expires: u64, now: u64) -> Rank {
        let expired = if now > expires { EXPIRED } else { 0 };
        match self {
            Self::SoonestExpiry => {
                expired | (EXPIRES_MAX - expires.min(EXPIRES_MAX)) << EXPIRY_SHIFT
            }
            Self::Lru | Self::Fifo => expired,
        }
    }
}

/// The older before the younger, by ticks since it was stored or used; then the unused.
#[inline]
pub(crate) fn rank_of_age(age: usize, is_touched: bool) -> Rank {
    ((age as Rank) << 1) + 2 - Rank::from(is_touched)
}

/// The search for the one that goes, over candidates seen one after another.
pub(crate) struct VictimSearch<I> {
    first: Ranked<I>,
    /// The first of the unused, which are looked for only to protect the used.
    first_untouched: Ranked<I>,
    untouched: usize,
    buckets: usize,
    protects_touched: bool,
}

/// What goes first of all that was seen; the rank is 0 as long as nothing was.
struct Ranked<I> {
    rank: Rank,
    item: Option<I>,
}

impl<I: Copy> Ranked<I> {
    const NONE: Self = Self { rank: 0, item: None };

    /// Of two with one rank the one seen first goes.
    #[inline]
    fn see(&mut self, item: I, rank: Rank) {
        if rank > self.rank {
            *self = Self { rank, item: Some(item) };
        }
    }
}

impl<I: Copy> VictimSearch<I> {
    /// With `protects_touched`, one that was used goes only if it is expired or few unused are
    /// left.
    #[inline]
    pub(crate) fn new(protects_touched: bool) -> Self {
        Self {
            first: Ranked::NONE,
            first_untouched: Ranked::NONE,
            untouched: 0,
            buckets: 0,
            protects_touched,
        }
    }

    /// Another bucket's candidates follow.
    #[inline]
    pub(crate) fn enter_bucket(&mut self) {
        self.buckets += 1;
    }

    #[inline]
    pub(crate) fn see(&mut self, item: I, rank: Rank, is_touched: bool) {
        self.first.see(item, rank);
        if self.protects_touched && !is_touched {
            self.untouched += 1;
            self.first_untouched.see(item, rank);
        }
    }

    /// Whether one was seen that has expired: then it goes.
    #[inline]
    pub(crate) fn has_met_expired(&self) -> bool {
        self.first.rank & EXPIRED != 0
    }

    /// The one that goes.
    #[inline]
    pub(crate) fn victim(&self) -> Option<I> {
        let is_spared =
            !self.has_met_expired() && self.untouched > UNTOUCHED_PER_BUCKET * self.buckets;
        if is_spared { self.first_untouched.item } else { self.first.item }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A member that could go.
    struct Candidate {
        age: usize,
        is_touched: bool,
        expires: u64,
    }

    fn victim(policy: Policy, set: &[Candidate], now: u64, protect: bool) -> Option<usize> {
        let mut search = VictimSearch::new(protect);
        search.enter_bucket();
        search.enter_bucket();
        for (n, one) in set.iter().enumerate() {
            let rank = rank_of_age(one.age, one.is_touched) | policy.rank_of_date(one.expires, now);
            search.see(n, rank, one.is_touched);
        }
        search.victim()
    }

    fn one(age: usize, is_touched: bool, expires: u64) -> Candidate {
        Candidate { age, is_touched, expires }
    }

    #[test]
    fn expired_goes_before_old() {
        let set = [one(9, false, 100), one(1, true, 4), one(5, false, 100)];
        assert_eq!(victim(Policy::Lru, &set, 5, false), Some(1));
        assert_eq!(victim(Policy::Lru, &set, 5, true), Some(1));
        assert_eq!(victim(Policy::Lru, &set, 4, false), Some(0));
        let mut unused: Vec<_> = (1..=9).map(|age| one(age, false, 100)).collect();
        unused.push(one(1, true, 4));
        assert_eq!(
            victim(Policy::Lru, &unused, 5, true),
            Some(9),
            "a use protects nobody who is expired"
        );
    }

    #[test]
    fn used_is_younger_within_a_tick() {
        let set = [one(3, true, 100), one(3, false, 100)];
        assert_eq!(victim(Policy::Lru, &set, 0, false), Some(1));
    }

    #[test]
    fn soonest_expiry_then_age() {
        let set = [one(1, false, 50), one(2, false, 40), one(3, false, 40)];
        assert_eq!(victim(Policy::SoonestExpiry, &set, 0, false), Some(2));
        assert_eq!(victim(Policy::Fifo, &set, 0, false), Some(2));
    }

    #[test]
    fn protection_needs_enough_unused() {
        let mut set = vec![one(60, true, 100)];
        set.extend((1..=4).map(|age| one(age, false, 100)));
        assert_eq!(victim(Policy::Lru, &set, 0, true), Some(0));
        set.push(one(7, false, 100));
        assert_eq!(victim(Policy::Lru, &set, 0, true), Some(5));
        assert_eq!(victim(Policy::Lru, &set, 0, false), Some(0));
    }

    #[test]
    fn nothing_to_choose_from() {
        assert_eq!(victim(Policy::Lru, &[], 0, false), None);
    }
}
