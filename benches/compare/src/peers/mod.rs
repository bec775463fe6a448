//! Everybody who takes part. A new peer is one file with its [`Store`](crate::store::Store), and
//! one line here.

mod dashmap;
mod foyer;
mod locked;
mod moka;
#[cfg(feature = "openssl")]
mod openssl;
mod papaya;
mod quick_cache;
mod rustls;
mod scc;
mod sessile;

use crate::floors::{Direct, Lines, Nothing};
use crate::stand::{Entrant, Role};

/// The name of the subject.
pub(crate) const SUBJECT: &str = "sessile";

/// All entrants, in the order of the tables.
pub(crate) fn all() -> Vec<Entrant> {
    vec![
        Entrant::new::<sessile::Sessile<false>>(SUBJECT, Role::Subject),
        Entrant::new::<sessile::Sessile<true>>("sessile-protecting", Role::Variant),
        Entrant::new::<dashmap::DashMap>("dashmap", Role::Peer),
        Entrant::new::<papaya::Papaya>("papaya", Role::Peer),
        Entrant::new::<scc::Map>("scc-map", Role::Peer),
        Entrant::new::<scc::Index>("scc-index", Role::Peer),
        Entrant::new::<scc::Cache>("scc-cache", Role::Peer),
        Entrant::new::<locked::RwLockHashbrown>("rwlock-hashbrown", Role::Peer),
        Entrant::new::<locked::MutexLru>("mutex-lru", Role::Peer),
        Entrant::new::<quick_cache::QuickCache>("quick_cache", Role::Peer),
        Entrant::new::<moka::TinyLfu>("moka", Role::Peer),
        Entrant::new::<moka::Lru>("moka-lru", Role::Peer),
        Entrant::new::<moka::MiniMoka>("mini-moka", Role::Peer),
        Entrant::new::<foyer::S3Fifo>("foyer-s3fifo", Role::Peer),
        Entrant::new::<foyer::Lru>("foyer-lru", Role::Peer),
        Entrant::new::<rustls::Memory>("rustls", Role::Peer),
        Entrant::new::<rustls::Sharded>("rustls-sharded", Role::Peer),
        Entrant::new::<rustls::ShardedLru>("rustls-g3", Role::Peer),
        #[cfg(feature = "openssl")]
        Entrant::new::<openssl::OpenSsl>("openssl", Role::Peer),
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
