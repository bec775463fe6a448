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

mod ages;
mod claimant;
mod entry;
mod group;
mod lanes;
mod migrate;
mod oldest;
mod publish;
mod raw_table;
mod resize_lock;
mod set;
mod slot;
mod table;
mod walk;
mod word;

// The door: the whole, one table of it, where a key is looked for, what is stored there or can be,
// and who owns the blocks that move. States, stamps and the two protocols stay inside.
pub(crate) use self::entry::{Entry, Place, Vacant};
pub(crate) use self::migrate::Owner;
pub(crate) use self::raw_table::RawTable;
pub(crate) use self::set::Probe;
pub(crate) use self::slot::{Occupied, Unlinked};
pub(crate) use self::table::Table;
