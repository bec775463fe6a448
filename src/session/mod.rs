//! What the cache holds: ids, contexts, and the counted session handle.

mod block;
mod builder;
mod context;
mod handle;
mod id;
mod memory;
mod payload;
mod secret;

pub(crate) use self::block::{Block, KeyMatch};
pub use self::builder::SessionBuilder;
pub use self::context::{Context, Generation, Protocol};
pub use self::handle::Session;
pub use self::id::{InvalidSessionId, SessionId};
pub(crate) use self::memory::{size_of_block, size_of_whole_block};
pub use self::secret::Secret;
