#![doc = include_str!("../README.md")]
#![expect(unreachable_pub, reason = "C sees what is public here, Rust sees nothing")]

mod border;
mod config;
mod contexts;
mod error;
mod hooks;
mod sessions;
mod settings;
mod statistics;
mod store;
mod version;
