//! Everybody who takes part.

use crate::dyn_store::{Candidate, Role};
use clap::ValueEnum;
use std::fmt;
use stores::floors::{Direct, Lines, Nothing};
#[cfg(feature = "openssl")]
use stores::peers::OpenSsl;
use stores::peers::{
    Cache, DashMap, Foyer, Index, Map, Memory, MiniMoka, Moka, MutexLru, Papaya, QuickCache,
    RwLockHashbrown, SHARDS, Sessile, ShardedLru,
};
use stores::store::{Held, Own, Session};

/// The name of the subject.
pub(crate) const SUBJECT: &str = "sessile";

/// What the peers keep that take any value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub(crate) enum Values {
    /// Sessile's own sessions, so that stores differ in nothing else
    Session,
    /// An `Arc` of id, dates and payload from the global allocator, as a program would write it
    Arc,
}

impl Values {
    /// All candidates, in the order of the tables.
    pub(crate) fn candidates(self) -> Vec<Candidate> {
        match self {
            Self::Session => all::<Session>(),
            Self::Arc => all::<Own>(),
        }
    }
}

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Session => "Sessile's sessions",
            Self::Arc => "Arcs of their own",
        })
    }
}

fn all<V: Held>() -> Vec<Candidate> {
    vec![
        Candidate::new::<Sessile<false>>(SUBJECT, Role::Subject),
        Candidate::new::<Sessile<true>>("sessile-protecting", Role::Variant),
        Candidate::new::<DashMap<V>>("dashmap", Role::Peer),
        Candidate::new::<Papaya<V>>("papaya", Role::Peer),
        Candidate::new::<Map<V>>("scc-map", Role::Peer),
        Candidate::new::<Index<V>>("scc-index", Role::Peer),
        Candidate::new::<Cache<V>>("scc-cache", Role::Peer),
        Candidate::new::<RwLockHashbrown<V>>("rwlock-hashbrown", Role::Peer),
        Candidate::new::<MutexLru<V>>("mutex-lru", Role::Peer),
        Candidate::new::<QuickCache<V>>("quick_cache", Role::Peer),
        Candidate::new::<Moka<V, false>>("moka", Role::Peer),
        Candidate::new::<Moka<V, true>>("moka-lru", Role::Peer),
        Candidate::new::<MiniMoka<V>>("mini-moka", Role::Peer),
        Candidate::new::<Foyer<V, false>>("foyer-s3fifo", Role::Peer),
        Candidate::new::<Foyer<V, true>>("foyer-lru", Role::Peer),
        Candidate::new::<Memory<1>>("rustls", Role::Peer),
        Candidate::new::<Memory<SHARDS>>("rustls-sharded", Role::Peer),
        Candidate::new::<ShardedLru>("rustls-g3", Role::Peer),
        #[cfg(feature = "openssl")]
        Candidate::new::<OpenSsl>("openssl", Role::Peer),
        Candidate::new::<Direct<false, true>>("floor-deferred", Role::Floor),
        Candidate::new::<Direct<true, true>>("floor-batched", Role::Floor),
        Candidate::new::<Direct<true, false>>("floor-uncounted", Role::UncountedFloor),
        Candidate::new::<Lines>("floor-lines", Role::LookupFloor),
        Candidate::new::<Nothing>("harness", Role::Harness),
    ]
}

/// Peers that are not in this build, and why.
pub(crate) fn missing() -> impl Iterator<Item = &'static str> {
    let openssl = "OpenSSL's own cache does not take part: build with `--features openssl` (needs libssl's headers)";
    (!cfg!(feature = "openssl")).then_some(openssl).into_iter()
}
