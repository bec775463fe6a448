//! libssl's own cache as the oracle: the same operations on `SSL_CTX_add_session` and its family,
//! and on Sessile.
//!
//! - `object`: sessions made of nothing but a key and dates, which tell when they are freed;
//! - `subject`: what is compared, as one trait; `libssl` and `ours` are the two that implement it;
//! - `sequence`: random operations, played to both;
//! - `faults`: Sessile with something wrong, to see that it would be found;
//! - `differences`: what is meant to be different.

/// Sequences that are played.
const SEQUENCES: u64 = 24_000;

mod differences;
mod faults;
mod libssl;
mod object;
mod ours;
mod sequence;
mod subject;
