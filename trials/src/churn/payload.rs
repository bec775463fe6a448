//! Secrets on the heap that know whether they are whole, and are counted.

use sessile::Secret;
use std::sync::atomic::{AtomicU64, Ordering};

// Relaxed, so that counting orders nothing that a sanitizer watches.
static MADE: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// What a session carries: bytes, and what they must add up to.
pub(super) struct Payload {
    owner: u64,
    secret: Secret,
    sum: u64,
}

impl Payload {
    /// The bytes depend on the owner, so those of another session do not pass.
    pub(super) fn new(owner: u64, bytes: usize) -> Self {
        MADE.fetch_add(1, Ordering::Relaxed);
        let bytes: Vec<u8> = (0..bytes as u64).map(|at| (owner.wrapping_mul(31) + at) as u8 | 1).collect();
        let sum = sum(&bytes);
        Self { owner, secret: Secret::from(bytes), sum }
    }

    /// Reads every byte. False when it is not the owner's, or not whole: freed, wiped, or never finished.
    pub(super) fn is_whole(&self, owner: u64) -> bool {
        self.owner == owner && sum(&self.secret) == self.sum
    }

    pub(super) fn weight(&self) -> usize {
        self.secret.len()
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// How many were made and how many dropped.
pub(super) fn made_and_dropped() -> (u64, u64) {
    let dropped = DROPPED.load(Ordering::Relaxed);
    (MADE.load(Ordering::Relaxed), dropped)
}

/// FNV-1a, which a changed or wiped byte changes.
fn sum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xCBF2_9CE4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_knows_its_owner_and_a_changed_byte() {
        let mut payload = Payload::new(7, 40);
        assert!(payload.is_whole(7));
        assert!(!payload.is_whole(8));
        let mut bytes = payload.secret.to_vec();
        bytes[39] ^= 2;
        payload.secret = Secret::from(bytes);
        assert!(!payload.is_whole(7));
        payload.secret = Secret::from(vec![0; 40]);
        assert!(!payload.is_whole(7), "wiped bytes are not whole");
    }
}
