//! Everybody who takes part.

use crate::stand::{Entrant, Role};
use clap::ValueEnum;
use std::fmt;
use stores::floors::{Direct, Lines, Nothing};
#[cfg(feature = "openssl")]
use stores::peers::OpenSsl;
use stores::peers::{
    Cache, DashMap, FoyerLru, Index, Map, Memory, MiniMoka, MokaLru, MutexLru, Papaya, QuickCache,
    RwLockHashbrown, S3Fifo, Sessile, Sharded, ShardedLru, TinyLfu,
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
    /// All entrants, in the order of the tables.
    pub(crate) fn entrants(self) -> Vec<Entrant> {
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

fn all<V: Held>() -> Vec<Entrant> {
    vec![
        Entrant::new::<Sessile<false>>(SUBJECT, Role::Subject),
        Entrant::new::<Sessile<true>>("sessile-protecting", Role::Variant),
        Entrant::new::<DashMap<V>>("dashmap", Role::Peer),
        Entrant::new::<Papaya<V>>("papaya", Role::Peer),
        Entrant::new::<Map<V>>("scc-map", Role::Peer),
        Entrant::new::<Index<V>>("scc-index", Role::Peer),
        Entrant::new::<Cache<V>>("scc-cache", Role::Peer),
        Entrant::new::<RwLockHashbrown<V>>("rwlock-hashbrown", Role::Peer),
        Entrant::new::<MutexLru<V>>("mutex-lru", Role::Peer),
        Entrant::new::<QuickCache<V>>("quick_cache", Role::Peer),
        Entrant::new::<TinyLfu<V>>("moka", Role::Peer),
        Entrant::new::<MokaLru<V>>("moka-lru", Role::Peer),
        Entrant::new::<MiniMoka<V>>("mini-moka", Role::Peer),
        Entrant::new::<S3Fifo<V>>("foyer-s3fifo", Role::Peer),
        Entrant::new::<FoyerLru<V>>("foyer-lru", Role::Peer),
        Entrant::new::<Memory>("rustls", Role::Peer),
        Entrant::new::<Sharded>("rustls-sharded", Role::Peer),
        Entrant::new::<ShardedLru>("rustls-g3", Role::Peer),
        #[cfg(feature = "openssl")]
        Entrant::new::<OpenSsl>("openssl", Role::Peer),
        Entrant::new::<Direct<false, true>>("floor-deferred", Role::Floor),
        Entrant::new::<Direct<true, true>>("floor-batched", Role::Floor),
        Entrant::new::<Direct<true, false>>("floor-uncounted", Role::UncountedFloor),
        Entrant::new::<Lines>("floor-lines", Role::LookupFloor),
        Entrant::new::<Nothing>("harness", Role::Harness),
    ]
}

/// Peers that are not in this build, and why.
pub(crate) fn missing() -> impl Iterator<Item = &'static str> {
    let openssl = "OpenSSL's own cache does not take part: build with `--features openssl` (needs libssl's headers)";
    (!cfg!(feature = "openssl")).then_some(openssl).into_iter()
}
