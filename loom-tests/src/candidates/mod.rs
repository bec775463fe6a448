//! Four protocols that could keep a key unique in a set of slots, small enough to be searched exhaustively.
//!
//! A key has a *home* bucket and a second one; its slots are those of both. Slots are reused at once, so two adders of an
//! absent key can pick two of them. How one of them is stopped is what the candidates differ in:
//!
//! - [`claim_and_rescan`]: each looks again after its claim, a fixed order of positions decides;
//! - [`publication_word`]: a word in the home bucket that every insertion of that home advances;
//! - [`control_word`]: the states of a bucket's slots in one word that every change of the bucket advances;
//! - [`one_set`]: a publication word again, but one set of two adjacent lines for each key.
//!
//! Objects are numbers that name their key; reclamation is not the subject. Each candidate takes a `VARIANT`, the sum of
//! named deviations: those that break it show that the models can fail.

pub mod claim_and_rescan;
pub mod control_word;
pub mod one_set;
pub mod publication_word;
mod table;

pub use table::{Bucket, Found, KeyOf, Position, Spot, Table, Word};

/// The variant without deviations.
pub const AS_DESCRIBED: u8 = 0;

/// What an add did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The key was absent.
    Inserted,
    /// This object held the key before.
    Replaced(u64),
    /// The same object held the key already; nothing was changed.
    Identical,
}

/// A thread that adds.
#[derive(Debug)]
pub struct Adder {
    number: u64,
    claims: u64,
    tokens: u64,
    /// What its insertions pushed out, oldest first.
    pub evicted: Vec<u64>,
}

impl Adder {
    const CLAIMS_BITS: u32 = 10;

    /// The thread with this number; no two threads of a table share one.
    pub fn new(number: u64) -> Self {
        assert!(number < (1 << (Word::NONCE_BITS - Self::CLAIMS_BITS)) - 1, "too many threads");
        Self { number: number + 1, claims: 0, tokens: 0, evicted: Vec::new() }
    }

    /// A nonce that no other claim has until this thread has made 1024 more.
    #[inline]
    fn fresh_nonce(&mut self) -> u64 {
        self.claims += 1;
        self.nonce(self.claims)
    }

    /// A mark of an empty slot that no other has until this thread has made 2^34 more.
    #[inline]
    fn fresh_token(&mut self) -> u64 {
        self.tokens += 1;
        (self.number << 34) | (self.tokens & ((1 << 34) - 1))
    }

    /// The nonce of this thread for a count of its own.
    #[inline]
    fn nonce(&self, count: u64) -> u64 {
        (self.number << Self::CLAIMS_BITS) | (count & ((1 << Self::CLAIMS_BITS) - 1))
    }
}

/// A table that keeps its keys unique.
pub trait Candidate: Send + Sync + Sized + 'static {
    /// An empty table. At most 2^24 buckets.
    fn new(buckets: usize, key_of: KeyOf) -> Self;

    /// Stores `object` under `key`, in place of whatever the key holds.
    fn add(&self, adder: &mut Adder, key: u64, object: u64) -> Outcome;

    /// Adds as a thread that dies when its insertion is decided and not yet visible. Only for candidates that have the case.
    fn abandon(&self, _adder: &mut Adder, _key: u64, _object: u64) -> Outcome {
        unimplemented!("no other candidate is asked for it");
    }

    /// The object of `key`.
    fn get(&self, key: u64) -> Option<u64>;

    /// Removes and returns the object of `key`.
    fn take(&self, adder: &mut Adder, key: u64) -> Option<u64>;

    /// What an adder of `key` does for another adder that it meets, and nothing else.
    fn help(&self, key: u64);

    /// Moves everything to a larger table, and sleeps for ever after this many steps. Only for the candidate that can.
    fn migrate(&self, _adder: &mut Adder, _steps: usize) {
        unimplemented!("this candidate has one table");
    }

    /// Loads a word of each cache line that an operation on `key` is about to read, in place of a prefetch.
    fn touch(&self, _key: u64) {}

    /// Every visible object, in the newest state of the table.
    fn members(&self) -> Vec<u64>;

    /// Whether every slot is empty or holds a member.
    fn is_settled(&self) -> bool;

    /// Panics when two members of one key are visible.
    fn assert_unique(&self);
}
