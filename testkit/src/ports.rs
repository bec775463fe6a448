//! Ports of loopback for the servers that tests start.
#![forbid(unsafe_code)]

use std::net::TcpListener;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below those that systems give to clients: tests make thousands of connections.
const PORTS: Range<u32> = 12_000..32_000;

/// A port that nobody listens on, and that this process was not told before.
///
/// # Panics
/// When all ports are in use.
pub fn free_port() -> u16 {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    // Other processes begin elsewhere.
    let start = std::process::id().wrapping_mul(61);
    for _ in PORTS {
        let tried = TRIED.fetch_add(1, Ordering::Relaxed);
        let place = start.wrapping_add(tried) % (PORTS.end - PORTS.start);
        let port = u16::try_from(PORTS.start + place).expect("they have sixteen bits");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}
