//! The adapter in real handshakes, one file per behaviour.

mod clients;
mod counters;
mod early_data;
mod isolation;
mod panics;
mod readme;
mod support;
mod tls12;
mod tls13;
mod vocabulary;
