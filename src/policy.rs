//! Which session goes when there is no room: pure decisions over what is in a set.
#![forbid(unsafe_code)]

/// The order in which sessions are evicted. Expired ones go first under every policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// The least recently used. Exact in a cache of up to 14 sessions; above that the oldest of the newcomer's fourteen
    /// slots, by ages of a sixteenth of the capacity in adds, which keeps 99 % of the hits of an exact list.
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

/// Sessions that were never used may be this many of a set while used ones are protected from them.
const UNTOUCHED_BEFORE_TOUCHED: usize = 4;

impl Policy {
    /// Whether a lookup makes a session younger.
    #[inline]
    pub(crate) fn ages_by_use(self) -> bool {
        matches!(self, Self::Lru)
    }

    /// Whether the dates of the candidates decide.
    pub(crate) fn needs_expiry(self) -> bool {
        matches!(self, Self::SoonestExpiry)
    }

    /// The index of the candidate that goes.
    pub(crate) fn victim(self, candidates: &[Candidate], now: u64, protect_touched: bool) -> Option<usize> {
        let expired = candidates.iter().position(|one| one.expires.is_some_and(|expires| now > expires));
        if expired.is_some() {
            return expired;
        }
        if protect_touched && self.ages_by_use() {
            let untouched = candidates.iter().filter(|one| !one.is_touched).count();
            if untouched > UNTOUCHED_BEFORE_TOUCHED {
                return self.oldest(candidates, |one| !one.is_touched);
            }
        }
        self.oldest(candidates, |_| true)
    }

    fn oldest(self, candidates: &[Candidate], is_eligible: impl Fn(&Candidate) -> bool) -> Option<usize> {
        let eligible = candidates.iter().enumerate().filter(|(_, one)| is_eligible(one));
        // `max_by_key` returns the last maximum; reversed, the home bucket goes first on a tie.
        let key = |one: &Candidate| self.rank(one);
        eligible.rev().max_by_key(|(_, one)| key(one)).map(|(index, _)| index)
    }

    /// Larger goes earlier.
    pub(crate) fn rank(self, one: &Candidate) -> (u64, usize, bool) {
        let soonest = match self {
            Self::SoonestExpiry => u64::MAX - one.expires.unwrap_or(u64::MAX),
            Self::Lru | Self::Fifo => 0,
        };
        (soonest, one.age, !one.is_touched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(age: usize, is_touched: bool, expires: u64) -> Candidate {
        Candidate { age, is_touched, expires: Some(expires) }
    }

    #[test]
    fn expired_goes_before_old() {
        let set = [one(9, false, 100), one(1, true, 4), one(5, false, 100)];
        assert_eq!(Policy::Lru.victim(&set, 5, false), Some(1));
        assert_eq!(Policy::Lru.victim(&set, 4, false), Some(0));
    }

    #[test]
    fn used_is_younger_within_a_tick() {
        let set = [one(3, true, 100), one(3, false, 100)];
        assert_eq!(Policy::Lru.victim(&set, 0, false), Some(1));
    }

    #[test]
    fn soonest_expiry_then_age() {
        let set = [one(1, false, 50), one(2, false, 40), one(3, false, 40)];
        assert_eq!(Policy::SoonestExpiry.victim(&set, 0, false), Some(2));
    }

    #[test]
    fn protection_needs_enough_unused() {
        let mut set = vec![one(60, true, 100)];
        set.extend((1..=4).map(|age| one(age, false, 100)));
        assert_eq!(Policy::Lru.victim(&set, 0, true), Some(0));
        set.push(one(7, false, 100));
        assert_eq!(Policy::Lru.victim(&set, 0, true), Some(5));
        assert_eq!(Policy::Lru.victim(&set, 0, false), Some(0));
    }

    #[test]
    fn nothing_to_choose_from() {
        assert_eq!(Policy::Lru.victim(&[], 0, false), None);
    }
}
