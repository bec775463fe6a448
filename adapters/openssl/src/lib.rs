#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod assurance;
mod attached;
mod attachment;
mod callbacks;
mod client;
mod client_context;
mod clock;
mod context_store;
mod domain;
mod events;
mod extra;
mod ffi;
mod host;
mod kept;
mod mode;
mod origin;
mod peer;
mod progress;
mod routes;
mod server;
mod server_builder;
mod vocabulary;

pub use attached::ReattachError;
pub use client::{ClientStore, ClientStoreBuilder};
pub use clock::UnixClock;
pub use mode::UPDATE_TIME;
pub use openssl;
pub use server::ServerStore;
pub use server_builder::ServerStoreBuilder;
pub use sessile;
