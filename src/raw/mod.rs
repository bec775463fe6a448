//! The table: words, buckets, sets, publication, migration. It knows addresses and hashes, nothing
//! of TLS or time.
//!
//! A key's *set* is two 64-byte buckets of seven slots, chosen by two independent parts of its
//! hash; the first is its *home*. A lookup reads the whole set, so a slot is reusable the moment it
//! is emptied and there are no tombstones.
//!
//! # Slot states
//!
//! ```text
//!             claim                    open (owner or helper)
//!   EMPTY ------------> CLAIM(X, n) -----------------------> MEMBER(X)
//!     ^                    |                                   |   |  ^
//!     |     withdraw       |                          replace  |   +--+ touch (stamp)
//!     +--------------------+                 MEMBER(X) -> MEMBER(Y)
//!     ^                                                        |
//!     +--------------------------------------------------------+ remove, take, evict, expire …
//!
//!   MEMBER(V) -----> CLAIM(X, n)         an eviction: place and permit pass to the claim
//!   MEMBER(X) -----> MOVED(X) -----> EMPTY               migration, in the old table
//!   EMPTY -----> SHADOW(X) -----> MEMBER(X) or EMPTY     migration, in the new table
//! ```
//!
//! Readers see members only. The word that decides whether a claim becomes a member is the
//! *publication word* of the key's home bucket: see [`publish`].

mod bucket;
mod claimant;
mod look;
mod migrate;
mod publish;
mod set;
mod survey;
mod table;
mod word;

pub(crate) use self::bucket::SLOTS;
pub(crate) use self::claimant::{Claimant, Claimants};
pub(crate) use self::migrate::Move;
pub(crate) use self::publish::Home;
pub(crate) use self::set::{Chain, Glance, Probe, Rows, Spot};
pub(crate) use self::survey::{Elder, OTHERS_MAX};
pub(crate) use self::table::{Root, Table, TableError};
pub(crate) use self::word::{Stamp, State, Tag, Word};
