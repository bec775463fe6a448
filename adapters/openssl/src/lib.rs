#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod attachment;
mod callbacks;
mod client;
mod clock;
mod domain;
mod ffi;
mod mode;
mod retry;
mod server;
mod vocabulary;

pub use client::ClientStore;
pub use clock::UnixClock;
pub use mode::UPDATE_TIME;
pub use openssl;
pub use server::ServerStore;
pub use sessile;
