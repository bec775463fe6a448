//! The operations that can be measured one by one.

use super::{Meter, Preparation, churn, lookups, writes};
use crate::sample::{Job, Sample};
use crate::store::Store;
use clap::ValueEnum;

/// One operation on a store in its steady state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Operation {
    /// A lookup of a stored session, uniform.
    Get,
    /// A lookup of an id that is not stored.
    Miss,
    /// A new object under an id that is stored; it is made inside.
    Replace,
    /// A new session at capacity; it is made inside.
    Add,
    /// A ticket is taken that was added about half a capacity before.
    Take,
    /// One handshake: two tickets made and added, an older one taken, at capacity.
    Tls13,
}

impl Operation {
    /// How a store must be prepared for it.
    pub fn preparation(self) -> Preparation {
        match self {
            Self::Get | Self::Miss | Self::Replace => Preparation::Filled,
            Self::Add => Preparation::Renewed,
            Self::Take | Self::Tls13 => Preparation::ByItself,
        }
    }

    /// Whether it adds a session (or a pair) with a new number each time.
    pub fn adds(self) -> bool {
        matches!(self, Self::Add | Self::Take | Self::Tls13)
    }

    /// Runs one thread of a job, operation by operation.
    #[inline]
    pub fn run<S: Store>(
        self,
        store: &S,
        job: &Job,
        thread: u64,
        meter: &mut impl Meter,
    ) -> Sample {
        match self {
            Self::Get => lookups::hit(store, job, thread, meter),
            Self::Miss => lookups::miss(store, job, thread, meter),
            Self::Replace => writes::replace(store, job, thread, meter),
            Self::Add => churn::renew(store, job, thread, meter),
            Self::Take => churn::take(store, job, thread, meter),
            Self::Tls13 => churn::tls13(store, job, thread, meter),
        }
    }
}
