//! The tier on a real server. Each test starts its own, and says so where none is installed.
//!
//! `SESSILE_LONG=1` plays ten times as much.

mod basics;
mod cluster;
mod equality;
mod failures;
mod handshakes;
mod libssl;
mod node;
mod nodes;
#[allow(dead_code, reason = "a part of it is needed")]
#[path = "../../../openssl/tests/adapter/support.rs"]
mod openssl_support;
mod publication;
mod server;
mod single_use;
#[allow(dead_code, reason = "a part of it is needed")]
#[path = "../../../rustls/tests/adapter/support.rs"]
mod support;

/// `number`, or ten times as much if the environment says so.
fn rounds(number: u64) -> u64 {
    if std::env::var_os("SESSILE_LONG").is_some() { number * 10 } else { number }
}
