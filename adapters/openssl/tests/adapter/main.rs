//! The adapter in real handshakes, one file per behaviour.

mod ages;
mod clients;
mod clocks;
mod counters;
mod detached;
mod early_data;
mod isolation;
mod lines;
mod moved;
mod oracle;
mod panics;
mod readme;
mod support;
mod switches;
mod tiers;
mod tls12;
mod tls13;
mod verification;
mod vocabulary;
