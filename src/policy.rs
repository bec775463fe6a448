//! Which session goes when there is no room: pure decisions over what is in a set.
#![forbid(unsafe_code)]

/// The order in which sessions are evicted. Expired ones go first under every policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// The least recently used. Exact in a cache of up to 14 sessions; above that the oldest of the newcomer's fourteen
    /// slots, by ages of a 32nd of the capacity in adds, which keeps 99 % of the hits of an exact list.
    #[default]
    Lru,
    /// The first that came in (BoringSSL, OpenSSL 1.1.1). As exact as `Lru`; lookups write nothing.
    Fifo,
    /// The one that expires soonest (OpenSSL 3 and 4). Exact in a cache of up to 14 sessions, of the newcomer's fourteen
    /// slots above that.
    SoonestExpiry,
}

/// A member that could go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// Ticks since it was stored or used.
    pub(crate) age: usize,
    /// Used since it was stored.
    pub(crate) is_touched: bool,
    /// The last second of its validity; only where the policy, or the hunt for expired sessions, needs it.
    pub(crate) expires: Option<u64>,
}

/// Sessions that were never used may be this many of a bucket while used ones are protected from them.
const UNTOUCHED_PER_BUCKET: usize = 2;

/// Where a candidate stands in the order of eviction; a larger rank goes earlier.
pub(crate) type Rank = u128;

const EXPIRED: Rank = 1 << 127;

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

    /// Expired before unexpired; then by the policy; then the older; then the unused.
    #[inline]
    pub(crate) fn rank(self, one: &Candidate, now: u64) -> Rank {
        let by_age = (one.age as Rank) << 1 | Rank::from(!one.is_touched);
        let Some(expires) = one.expires else { return by_age };
        let expired = if now > expires { EXPIRED } else { 0 };
        match self {
            Self::SoonestExpiry => expired | Rank::from(u64::MAX - expires) << 32 | by_age,
            Self::Lru | Self::Fifo => expired | by_age,
        }
    }
}

/// The search for the one that goes, over candidates seen one after another.
pub(crate) struct Hunt<I> {
    first: Option<(Rank, I)>,
    first_untouched: Option<(Rank, I)>,
    untouched: usize,
    buckets: usize,
}

impl<I: Copy> Hunt<I> {
    pub(crate) fn new() -> Self {
        Self { first: None, first_untouched: None, untouched: 0, buckets: 0 }
    }

    /// Another bucket's candidates follow.
    #[inline]
    pub(crate) fn enter_bucket(&mut self) {
        self.buckets += 1;
    }

    /// Of two with one rank the one seen first goes.
    #[inline]
    pub(crate) fn see(&mut self, item: I, rank: Rank, is_touched: bool) {
        if self.first.is_none_or(|(first, _)| rank > first) {
            self.first = Some((rank, item));
        }
        if !is_touched {
            self.untouched += 1;
            if self.first_untouched.is_none_or(|(first, _)| rank > first) {
                self.first_untouched = Some((rank, item));
            }
        }
    }

    /// The one that goes. With `protect_touched`, one that was used only if it is expired or few unused are left.
    #[inline]
    pub(crate) fn victim(&self, protect_touched: bool) -> Option<I> {
        let (rank, first) = self.first?;
        let is_spared =
            protect_touched && rank & EXPIRED == 0 && self.untouched > UNTOUCHED_PER_BUCKET * self.buckets;
        match self.first_untouched {
            Some((_, untouched)) if is_spared => Some(untouched),
            _ => Some(first),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn victim(policy: Policy, set: &[Candidate], now: u64, protect: bool) -> Option<usize> {
        let mut hunt = Hunt::new();
        hunt.enter_bucket();
        hunt.enter_bucket();
        set.iter().enumerate().for_each(|(n, one)| hunt.see(n, policy.rank(one, now), one.is_touched));
        hunt.victim(protect)
    }

    fn one(age: usize, is_touched: bool, expires: u64) -> Candidate {
        Candidate { age, is_touched, expires: Some(expires) }
    }

    #[test]
    fn expired_goes_before_old() {
        let set = [one(9, false, 100), one(1, true, 4), one(5, false, 100)];
        assert_eq!(victim(Policy::Lru, &set, 5, false), Some(1));
        assert_eq!(victim(Policy::Lru, &set, 5, true), Some(1));
        assert_eq!(victim(Policy::Lru, &set, 4, false), Some(0));
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
