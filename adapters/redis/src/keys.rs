//! Sealing: what leaves the process is encrypted, and bound to where it is stored.
//!
//! ```text
//! version 1 · key 4 · nonce 24 · ciphertext · tag 16
//! ```
//!
//! The cipher is XChaCha20-Poly1305. Its nonce is long enough to be drawn from the operating system
//! for each value: after 2^48 values the probability of a repetition is below 2^-96. No counter has
//! to survive a restart, a `fork` or a copy of a virtual machine, and processes that share a key
//! need not agree on anything.
#![forbid(unsafe_code)]

use std::fmt;

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::error::TierError;
use crate::refusal::Refusal;

const VERSION: u8 = 1;
const HEADER: usize = 1 + 4;
const NONCE: usize = 24;
const TAG: usize = 16;

/// What sealing adds to the length of a record, in bytes.
pub(crate) const OVERHEAD: usize = HEADER + NONCE + TAG;

/// A key of 32 bytes, which is wiped when it is dropped.
#[derive(Clone)]
pub struct SealingKey(Zeroizing<[u8; 32]>);

impl SealingKey {
    /// A new random key.
    ///
    /// # Errors
    /// [`TierError::Random`] when the operating system has no random numbers.
    pub fn generate() -> Result<Self, TierError> {
        let mut bytes = Zeroizing::new([0; 32]);
        fill(&mut *bytes)?;
        Ok(Self(bytes))
    }

    /// The key's number in the header of what it sealed.
    fn number(&self) -> [u8; 4] {
        let digest = Sha256::new().chain_update(b"sessile sealing key").chain_update(*self.0);
        let [a, b, c, d, ..] = <[u8; 32]>::from(digest.finalize());
        [a, b, c, d]
    }
}

impl From<[u8; 32]> for SealingKey {
    /// A key that the nodes share. It must be random: a password is none.
    fn from(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

/// Never shows the key.
impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(..)")
    }
}

/// Keys, of which the first one seals and all open.
///
/// To rotate: give all nodes a ring with the new key behind the old one, then one with the new key
/// in front, and leave the old one out when the longest lifetime of a session has passed.
///
/// ```
/// use sessile_redis::{KeyRing, SealingKey};
///
/// let (old, new) = (SealingKey::generate()?, SealingKey::generate()?);
/// let before = KeyRing::new(old.clone());
/// let prepared = KeyRing::new(old.clone()).and(new.clone());
/// let rotated = KeyRing::new(new).and(old);
/// # drop((before, prepared, rotated));
/// # Ok::<(), sessile_redis::TierError>(())
/// ```
#[derive(Clone)]
pub struct KeyRing {
    first: Key,
    others: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    number: [u8; 4],
    cipher: XChaCha20Poly1305,
}

impl Key {
    fn new(key: &SealingKey) -> Self {
        Self { number: key.number(), cipher: XChaCha20Poly1305::new((&*key.0).into()) }
    }
}

impl KeyRing {
    /// A ring of one key, which seals and opens.
    pub fn new(key: SealingKey) -> Self {
        Self { first: Key::new(&key), others: Vec::new() }
    }

    /// Adds a key that only opens.
    #[must_use]
    pub fn and(mut self, key: SealingKey) -> Self {
        self.others.push(Key::new(&key));
        self
    }

    /// Seals bytes for the place that `associated` names.
    pub(crate) fn seal(&self, associated: &[u8], plain: &[u8]) -> Result<Vec<u8>, TierError> {
        let mut nonce = [0; NONCE];
        fill(&mut nonce)?;
        let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD);
        sealed.push(VERSION);
        sealed.extend_from_slice(&self.first.number);
        let associated = [&sealed, associated].concat();
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let text = &mut sealed[HEADER + NONCE..];
        let tag = self
            .first
            .cipher
            .encrypt_inout_detached(&XNonce::from(nonce), &associated, text.into())
            .map_err(|_| TierError::Length)?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    /// Opens what some key of the ring sealed for this place.
    pub(crate) fn open(
        &self,
        associated: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        if sealed.len() < OVERHEAD || sealed[0] != VERSION {
            return Err(Refusal::Malformed);
        }
        let (header, rest) = sealed.split_at(HEADER);
        let (nonce, rest) = rest.split_at(NONCE);
        let (text, tag) = rest.split_at(rest.len() - TAG);
        let (Ok(nonce), Ok(tag)) = (XNonce::try_from(nonce), Tag::try_from(tag)) else {
            return Err(Refusal::Malformed);
        };
        let associated = [header, associated].concat();
        // Numbers of keys are short: two keys may have the same.
        let keys = std::iter::once(&self.first).chain(&self.others);
        let mut refusal = Refusal::UnknownKey;
        for key in keys.filter(|key| key.number == header[1..]) {
            let mut plain = Zeroizing::new(text.to_vec());
            let buffer = plain.as_mut_slice().into();
            match key.cipher.decrypt_inout_detached(&nonce, &associated, buffer, &tag) {
                Ok(()) => return Ok(plain),
                Err(_) => refusal = Refusal::Forged,
            }
        }
        Err(refusal)
    }
}

/// Never shows the keys.
impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing({} keys)", 1 + self.others.len())
    }
}

/// Random bytes of the operating system.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), TierError> {
    getrandom::fill(bytes).map_err(|_| TierError::Random)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(byte: u8) -> KeyRing {
        KeyRing::new(SealingKey::from([byte; 32]))
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let old = ring(1).seal(b"place", b"state").unwrap();
        let rotated = KeyRing::new([2; 32].into()).and([1; 32].into());
        assert_eq!(**rotated.open(b"place", &old).unwrap(), *b"state");
        let new = rotated.seal(b"place", b"state").unwrap();
        assert_eq!(ring(1).open(b"place", &new), Err(Refusal::UnknownKey));
        assert_eq!(**ring(2).open(b"place", &new).unwrap(), *b"state");
    }

    #[test]
    fn a_value_is_worth_nothing_elsewhere() {
        let sealed = ring(1).seal(b"place", b"state").unwrap();
        assert_eq!(ring(1).open(b"other", &sealed), Err(Refusal::Forged));
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert!(ring(1).open(b"place", &changed).is_err(), "byte {position}");
        }
        for length in 0..sealed.len() {
            assert!(ring(1).open(b"place", &sealed[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn no_two_seals_are_the_same() {
        let seal = || ring(1).seal(b"place", b"state").unwrap();
        let all: std::collections::HashSet<_> = (0..1000).map(|_| seal()).collect();
        assert_eq!(all.len(), 1000);
    }

    #[test]
    fn debug_shows_no_key() {
        let key = SealingKey::from([0x41; 32]);
        let shown = format!("{key:?} {:?}", KeyRing::new(key.clone()));
        assert_eq!(shown, "SealingKey(..) KeyRing(1 keys)");
    }
}
