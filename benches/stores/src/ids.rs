//! Session ids that are made from numbers, and the numbers that are stored at a time.
//!
//! The sessions that ever exist are numbered. With several threads the numbers are dealt round:
//! session `index` of thread `thread` has number `index * threads + thread`, so that whatever the
//! number of threads, the newest `capacity` numbers are the window that a full store holds.

use std::hash::{Hash, Hasher};

/// A 32-byte session id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(8))]
pub struct Id([u8; 32]);

impl Id {
    /// The id of session `number`. Three words are mixed; the last one is the number itself, which
    /// is what lets the direct-index floors do without a hash.
    #[inline]
    pub fn of(number: u64) -> Self {
        const ODD: [u64; 3] = [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];
        let first = number.wrapping_mul(ODD[0]);
        let second = (first ^ (first >> 29)).wrapping_mul(ODD[1]);
        let third = (second ^ (second >> 32)).wrapping_mul(ODD[2]);
        let mut bytes = [0; 32];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip([second, third, first ^ third, number]) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        Self(bytes)
    }

    /// The number that the id was made of.
    #[inline]
    pub fn number(&self) -> u64 {
        let [.., a, b, c, d, e, f, g, h] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// As stores take it.
    #[inline]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Hash for Id {
    /// Without the length that a slice would add: the peers hash as little as they can.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

/// Numbers that no workload ever stores.
pub const NEVER_STORED: u64 = 1 << 40;

/// Numbers outside the window, for the few sessions that a thread keeps in hand.
pub const IN_HAND: u64 = 1 << 41;
