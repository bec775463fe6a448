#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod server;

pub use client::{ClientContextStore, ClientStore};
pub use rustls;
pub use server::{ServerContextStore, ServerStore};
pub use sessile;
