#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod desk;
mod error;
pub mod hello;
mod hooks;
mod keys;
mod link;
mod options;
mod payload;
mod peek;
mod peers;
mod place;
mod reader;
mod record;
mod refusal;
mod sealed;
mod seen;
mod snapshot;
mod stats;
mod tier;
mod waiter;
mod wire;
mod writer;

pub use redis;

pub use error::TierError;
pub use keys::{KeyRing, SealingKey};
pub use payload::Payload;
pub use peek::peek_offer;
pub use place::Uses;
pub use record::PAYLOAD_MAX;
pub use refusal::Refusal;
pub use snapshot::{Restored, restore, restore_from_file, snapshot, snapshot_to_file};
pub use stats::TierStats;
pub use tier::{Tier, TierBuilder};
