//! Bytes of weight, and those that are about to be garbage.
#![forbid(unsafe_code)]

use crate::sync::Ordering;
use crate::sync::on_request::AtomicUsize;
use crossbeam_utils::CachePadded;

/// A bounded number of bytes, and what is announced beside them.
///
/// Bytes go from *announced* (or from nowhere) to *used* to garbage: each time they are added to
/// the later sum first and taken from the earlier one afterwards. Who reads the sums in that order
/// counts each byte at least once.
pub(crate) struct Bytes {
    used: CachePadded<AtomicUsize>,
    limit: usize,
    /// What replacements under way will turn into garbage.
    announced: CachePadded<AtomicUsize>,
}

impl Bytes {
    pub(crate) fn new(limit: usize) -> Self {
        let none = || CachePadded::new(AtomicUsize::new(0));
        Self { used: none(), limit, announced: none() }
    }

    pub(crate) fn is_limited(&self) -> bool {
        self.limit != usize::MAX
    }

    /// `usize::MAX` for none.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Whether hardly any bytes are left: an eighth of the limit.
    pub(crate) fn is_nearly_out(&self) -> bool {
        // ORDERING: Relaxed: a hint.
        self.used.load(Ordering::Relaxed) >= self.limit - self.limit / 8
    }

    pub(crate) fn used(&self) -> usize {
        // ORDERING: Acquire: sees as garbage what was given back; pairs with `give`. Model:
        // `weight_to_garbage`.
        self.used.load(Ordering::Acquire)
    }

    pub(crate) fn announced(&self) -> usize {
        // ORDERING: Acquire: sees as garbage what was settled; pairs with `settle`. Model:
        // `weight_announced`.
        self.announced.load(Ordering::Acquire)
    }

    /// Announces garbage. Of two threads that announce and then ask, one sees what the other
    /// announced.
    pub(crate) fn announce(&self, n: usize) {
        // ORDERING: Relaxed: this word's modification order decides who is first.
        self.announced.fetch_add(n, Ordering::Relaxed);
    }

    /// Takes an announcement back: what was announced is garbage by now, or will not be.
    pub(crate) fn settle(&self, n: usize) {
        // ORDERING: Release: the garbage was counted before; pairs with `announced`. Model:
        // `weight_announced`.
        self.announced.fetch_sub(n, Ordering::Release);
    }

    /// Takes `n` bytes, all or nothing.
    pub(crate) fn try_take(&self, n: usize) -> bool {
        let add = |used: usize| used.checked_add(n).filter(|&used| used <= self.limit);
        // ORDERING: Relaxed: goes on with the release sequence of `give`.
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    pub(crate) fn give(&self, n: usize) {
        // ORDERING: Release: the garbage was counted before; pairs with `used`. Model:
        // `weight_to_garbage`.
        self.used.fetch_sub(n, Ordering::Release);
    }
}
