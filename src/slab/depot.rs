//! The chunks of one size class.
#![forbid(unsafe_code)]

use super::chunk::Chunk;
use super::size_class::SizeClass;
use super::stack::Stack;
use crate::memory::{HUGE_PAGE, LINE};
use crate::sync::MODELLED;
use std::ptr::NonNull;

/// Bytes of the first chunk, and of the largest: a huge page. Between these a new chunk is a
/// quarter of the class's bytes, rounded down to a power of two.
const CHUNK_MIN: usize = if MODELLED { 2 * LINE } else { 64 << 10 };
const CHUNK_MAX: usize = if MODELLED { 2 * LINE } else { HUGE_PAGE };

/// Every block of a class that is neither in use nor in a magazine.
pub(super) struct Depot {
    /// By address.
    chunks: Vec<Chunk>,
    /// No chunk before this one has a free block: the lowest addresses are used first, so that the
    /// highest chunks become free.
    first: usize,
    /// Of all chunks, and of their free blocks with what is left over at a chunk's end.
    bytes: usize,
    free_bytes: usize,
    /// Whether one chunk is free from end to end. A second one is given back.
    has_spare: bool,
}

impl Depot {
    pub(super) const fn new() -> Self {
        Self { chunks: Vec::new(), first: 0, bytes: 0, free_bytes: 0, has_spare: false }
    }

    /// A batch of blocks of `class`, or as many as one chunk has. `None` when memory is exhausted.
    pub(super) fn take(&mut self, class: SizeClass) -> Option<Stack> {
        let later = self.chunks[self.first..].iter().position(Chunk::has_free);
        match later {
            Some(later) => self.first += later,
            None => self.first = self.grow(class)?,
        }
        let chunk = &mut self.chunks[self.first];
        self.has_spare &= !chunk.is_free();
        let taken = chunk.take(class.batch());
        self.free_bytes -= taken.len() * class.bytes();
        Some(taken)
    }

    /// Adds a chunk and returns its place.
    #[cold]
    fn grow(&mut self, class: SizeClass) -> Option<usize> {
        let quarter = (self.bytes / 4).checked_ilog2().map_or(0, |power| 1 << power);
        let size = quarter.clamp(CHUNK_MIN, CHUNK_MAX);
        self.chunks.try_reserve(1).ok()?;
        let chunk = Chunk::new(size, class.bytes());
        let chunk = chunk.or_else(|| Chunk::new(CHUNK_MIN, class.bytes()))?;
        let size = chunk.size();
        let place = self.chunks.partition_point(|other| other.end() < chunk.end());
        self.chunks.insert(place, chunk);
        self.bytes += size;
        self.free_bytes += size;
        Some(place)
    }

    /// Takes a block back. If its chunk is free then, and another one is, the block's chunk is
    /// given back.
    pub(super) fn put(&mut self, block: NonNull<u8>) {
        let place = self.chunks.partition_point(|chunk| chunk.end() <= block.addr().get());
        let chunk = &mut self.chunks[place];
        self.free_bytes += chunk.put(block);
        self.first = self.first.min(place);
        if chunk.is_free() && std::mem::replace(&mut self.has_spare, true) {
            self.bytes -= chunk.size();
            self.free_bytes -= chunk.size();
            self.chunks.remove(place);
        }
    }

    /// Takes so many blocks back from a stack, or all it has.
    pub(super) fn put_up_to(&mut self, most: usize, stack: &mut Stack) {
        (0..most).map_while(|_| stack.pop()).for_each(|block| self.put(block));
    }

    /// Whether it has no memory.
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Ends what `lock` does.
    pub(super) fn unlock(&mut self) {
        self.chunks.iter_mut().for_each(Chunk::unlock);
    }

    /// Whether three quarters of several chunks are free.
    pub(super) fn is_nearly_free(&self) -> bool {
        self.chunks.len() > 1 && self.free_bytes / 3 >= self.bytes / 4
    }

    /// Locks the memory of all chunks. Whether all of it is locked.
    pub(super) fn lock(&mut self) -> bool {
        self.chunks.iter_mut().all(Chunk::lock)
    }

    /// Gives back what is free from end to end.
    pub(super) fn trim(&mut self) {
        if !std::mem::take(&mut self.has_spare) {
            return;
        }
        let before = self.bytes;
        self.chunks.retain(|chunk| !chunk.is_free());
        self.bytes = self.chunks.iter().map(Chunk::size).sum();
        self.free_bytes -= before - self.bytes;
        self.first = 0;
        if self.chunks.is_empty() {
            self.chunks = Vec::new();
        }
    }

    #[cfg(any(test, sessile_loom, sessile_shuttle))]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All blocks, free or not.
    #[cfg(test)]
    pub(super) fn blocks(&self, class: SizeClass) -> usize {
        self.chunks.iter().map(|chunk| chunk.size() / class.bytes()).sum()
    }

    /// Checks what the fields say of each other; returns the free blocks.
    #[cfg(test)]
    pub(super) fn check(&self, class: SizeClass) -> usize {
        let free: usize = self.chunks.iter().map(Chunk::check).sum();
        assert!(self.chunks.is_sorted_by_key(Chunk::end));
        assert_eq!(self.bytes, self.chunks.iter().map(Chunk::size).sum::<usize>());
        let rests: usize = self.chunks.iter().map(|chunk| chunk.size() % class.bytes()).sum();
        assert_eq!(self.free_bytes, free * class.bytes() + rests);
        assert_eq!(self.has_spare, self.chunks.iter().any(Chunk::is_free));
        assert!(self.chunks.iter().filter(|chunk| chunk.is_free()).count() <= 1);
        assert!(self.chunks.iter().take(self.first).all(|chunk| !chunk.has_free()));
        free
    }
}
