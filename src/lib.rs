#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::disallowed_types)]

#[cfg(all(sessile_loom, not(crossbeam_loom)))]
compile_error!("the models need `--cfg crossbeam_loom` beside `--cfg sessile_loom`");

mod builder;
mod cache;
mod clock;
mod error;
mod hash;
mod hint;
mod histogram;
mod memory;
mod panics;
mod policy;
#[cfg(feature = "metrics")]
mod publish;
mod raw;
mod reclaim;
mod resumptions;
mod revocations;
mod session;
mod settings;
mod slab;
mod stats;
mod status;
mod sync;
mod tickets;
mod timestamp;
mod wall;

pub use crate::builder::{Capacity, SessionCacheBuilder};
pub use crate::cache::SessionCache;
pub use crate::cache::removals::Watch;
pub use crate::cache::tier::Source;
pub use crate::cache::transfer::InvalidExport;
pub use crate::cache::view::View;
pub use crate::clock::{Clock, CoarseClock, ManualClock};
pub use crate::error::{Added, BuildError, Rejected, Rejection, RemovalCause};
pub use crate::histogram::{Histogram, HistogramFigures};
pub use crate::policy::Policy;
pub use crate::resumptions::{Offered, ResumptionFigures, Resumptions};
pub use crate::session::{
    Context, Generation, InvalidSessionId, Protocol, Secret, Session, SessionBuilder, SessionId,
};
pub use crate::settings::{Hooks, Mode, Operation, Query};
pub use crate::stats::{Garbage, Handshake, Rejections, Stats};
pub use crate::status::{Metric, MetricKind, Status};
pub use crate::tickets::{PutError, TicketRing};
pub use crate::timestamp::Timestamp;

#[cfg(doc)]
#[doc = include_str!("../docs/coming-from.md")]
pub mod coming_from {}

/// What the models need beside the public API.
#[cfg(any(sessile_loom, sessile_shuttle))]
#[doc(hidden)]
pub mod internals;

/// What the counts need beside the public API.
#[cfg(sessile_counts)]
#[doc(hidden)]
pub use crate::sync::counts::ledger as counted;

const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<SessionCache<Vec<u8>>>();
    is_send_and_sync::<Session<Vec<u8>>>();
};
