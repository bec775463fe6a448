#![doc = include_str!("../README.md")]
#![expect(unreachable_pub, reason = "the linker sees what is public here, Rust sees nothing")]

// The interface of libsessile.so is in this library too, so that a process has one of it.
use sessile_capi as _;

mod chain;
mod connection;
mod contexts;
mod control;
mod decision;
mod early_data;
mod environment;
mod info;
mod owner;
mod real;
mod record;
mod report;
mod scope;
mod sessions;
mod size;
