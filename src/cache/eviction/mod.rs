//! Who goes: ages by a logical clock, the policy, and the sweep for what has expired.
#![forbid(unsafe_code)]

mod clock;
mod sweep;
mod victim;

use self::clock::LogicalClock;
pub(super) use self::clock::TickCounter;
pub(super) use self::sweep::{SweepEffort, Sweeper};
pub(super) use self::victim::{
    GOLDEN_RATIO_64, OTHERS_MAX, SAMPLES_MAX, SampleCursor, samples_for, samples_for_weight,
};

use crate::policy::Policy;
use crate::raw::Table;
use crossbeam_utils::CachePadded;

/// The order of eviction of a cache, and how far its sweep is. What lookups read, the clock and the
/// policy, has a cache line apart from what sweeps write.
#[repr(C, align(64))]
pub(super) struct Eviction {
    pub(super) clock: LogicalClock,
    policy: Policy,
    protect_reused: bool,
    pub(super) sweeper: CachePadded<Sweeper>,
}

impl Eviction {
    /// `capacity` in sessions.
    pub(super) fn new(policy: Policy, protect_reused: bool, capacity: usize) -> Self {
        let clock = LogicalClock::new(capacity);
        let sweeper = CachePadded::new(Sweeper::new());
        Self { clock, policy, protect_reused, sweeper }
    }

    #[inline]
    pub(super) fn policy(&self) -> Policy {
        self.policy
    }

    /// Whether more than age decides who goes.
    #[inline]
    pub(super) fn needs_expiry_scan<B>(&self, table: &Table<B>, now: u64) -> bool {
        self.policy.needs_expiry()
            || self.protect_reused
            || table.is_one_set()
            || self.sweeper.may_have_expired(now)
    }
}
