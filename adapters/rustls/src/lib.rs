#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod client_builder;
mod context_store;
mod events;
mod offers;
mod server;
mod server_builder;
mod shelf;
mod value;
mod window;

pub use client::{ClientContextStore, ClientStore};
pub use client_builder::ClientStoreBuilder;
pub use context_store::ServerContextStore;
pub use offers::Offers;
pub use rustls;
pub use server::{ServerStore, is_tls12};
pub use server_builder::ServerStoreBuilder;
pub use sessile;
