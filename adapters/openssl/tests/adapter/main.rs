//! The adapter in real handshakes, one file per behaviour.

mod support;
mod tls12;
