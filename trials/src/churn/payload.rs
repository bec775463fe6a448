//! Secrets on the heap that know whether they are whole, and are counted.

use sessile::Secret;
use testkit::Ledger;

/// Not behind an `Arc` in each payload, whose count would order what a sanitizer watches.
static LEDGER: Ledger = Ledger::empty();

/// An odd number (the golden section in 64 bits).
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

/// What a session carries: bytes, and what they must add up to.
pub(super) struct Payload {
    owner: u64,
    secret: Secret,
    sum: u64,
}

impl Payload {
    /// The bytes depend on the owner, so those of another session do not pass.
    pub(super) fn new(owner: u64, bytes: usize) -> Self {
        LEDGER.note_made();
        let mut word = owner;
        let mut secret = Vec::with_capacity(bytes.next_multiple_of(size_of::<u64>()));
        while secret.len() < bytes {
            word = word.wrapping_mul(MULTIPLIER).rotate_left(23) | 1;
            secret.extend_from_slice(&word.to_le_bytes());
        }
        let secret = Secret::from(&secret[..bytes]);
        let sum = sum(&secret);
        Self { owner, secret, sum }
    }

    /// Reads every byte. False when it is not the owner's, or not whole: freed, wiped, or never
    /// finished.
    pub(super) fn is_whole(&self, owner: u64) -> bool {
        self.owner == owner && sum(&self.secret) == self.sum
    }

    pub(super) fn weight(&self) -> usize {
        self.secret.len()
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        LEDGER.note_freed();
    }
}

/// How many were made and how many dropped.
pub(super) fn made_and_dropped() -> (u64, u64) {
    let dropped = LEDGER.freed() as u64;
    (LEDGER.made() as u64, dropped)
}

/// Every word changes the sum: a multiplication by an odd number loses nothing. Word by word, since
/// a sanitizer looks at each access.
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    let rest = rest.iter().map(|&byte| u64::from(byte));
    words.chain(rest).fold(MULTIPLIER, |sum, word| (sum ^ word).wrapping_mul(MULTIPLIER))
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
