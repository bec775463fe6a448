#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod client_builder;
mod events;
mod offers;
mod server;
mod shelf;
mod value;
mod window;

pub use client::{ClientContextStore, ClientStore};
pub use client_builder::ClientStoreBuilder;
pub use offers::Offers;
pub use rustls;
pub use server::{ServerContextStore, ServerStore, is_tls12};
pub use sessile;
