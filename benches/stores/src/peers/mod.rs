//! The real stores. A new peer is one file with its [`Store`](crate::store::Store), one line here
//! and one in the list of `compare`.

mod dashmap;
#[cfg(feature = "all")]
mod foyer;
mod hashbrown;
#[cfg(feature = "all")]
mod lru;
#[cfg(feature = "all")]
mod moka;
#[cfg(feature = "openssl")]
mod openssl;
#[cfg(feature = "all")]
mod papaya;
#[cfg(feature = "all")]
mod quick_cache;
#[cfg(feature = "all")]
mod rustls;
mod scc;
mod sessile;

pub use self::dashmap::DashMap;
#[cfg(feature = "all")]
pub use self::foyer::Foyer;
pub use self::hashbrown::RwLockHashbrown;
#[cfg(feature = "all")]
pub use self::lru::MutexLru;
#[cfg(feature = "all")]
pub use self::moka::{MiniMoka, Moka};
#[cfg(feature = "openssl")]
pub use self::openssl::OpenSsl;
#[cfg(feature = "all")]
pub use self::papaya::Papaya;
#[cfg(feature = "all")]
pub use self::quick_cache::QuickCache;
#[cfg(feature = "all")]
pub use self::rustls::{Memory, SHARDS, ShardedLru};
pub use self::scc::{Cache, Index, Map};
pub use self::sessile::Sessile;
