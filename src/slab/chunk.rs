//! Memory from the global allocator that is cut into blocks of one size.

use super::pages;
use super::size_class::BATCH_MAX;
use super::stack::Stack;
use crate::memory::{HUGE_PAGE, PAGE, lock, unlock};
use std::alloc::Layout;
use std::ptr::NonNull;

/// One chunk. Which of its blocks are free is in a bitmap beside it, so that a free block need not
/// be read to be found.
pub(super) struct Chunk {
    start: NonNull<u8>,
    layout: Layout,
    block_size: usize,
    free: usize,
    /// A bit for each block that is free.
    bits: Vec<u64>,
    /// No word before this one has a bit.
    first: usize,
}

// SAFETY: whoever has the chunk has the memory.
unsafe impl Send for Chunk {}

impl Chunk {
    /// A chunk of `size` bytes, which is a power of two. `None` when memory is exhausted, or cannot
    /// be locked where that is wanted.
    pub(super) fn new(size: usize, block_size: usize) -> Option<Self> {
        let layout = Layout::from_size_align(size, Self::align(size)).ok()?;
        let blocks = size / block_size;
        let mut bits = Vec::new();
        bits.try_reserve_exact(blocks.div_ceil(64)).ok()?;
        bits.resize(blocks.div_ceil(64), u64::MAX);
        if let (Some(last), rest @ 1..) = (bits.last_mut(), blocks % 64) {
            *last = (1 << rest) - 1;
        }
        // SAFETY: the size is not zero.
        let start = unsafe { pages::allocate(layout) }?;
        Some(Self { start, layout, block_size, free: blocks, bits, first: 0 })
    }

    /// A multiple of a line: of the page or, where the chunk is a huge page, of that. An allocator
    /// may write to a page in front of what it aligns to more.
    const fn align(size: usize) -> usize {
        if size < HUGE_PAGE && size > PAGE { PAGE } else { size }
    }

    /// Locks the memory. Whether it is locked.
    pub(super) fn lock(&mut self) -> bool {
        lock(self.start, self.layout.size())
    }

    pub(super) fn unlock(&mut self) {
        unlock(self.start, self.layout.size());
    }

    /// The address behind the last byte: chunks are ordered by it.
    pub(super) fn end(&self) -> usize {
        self.start.addr().get() + self.layout.size()
    }

    pub(super) fn size(&self) -> usize {
        self.layout.size()
    }

    pub(super) fn has_free(&self) -> bool {
        self.free > 0
    }

    pub(super) fn is_free(&self) -> bool {
        self.free == self.layout.size() / self.block_size
    }

    /// Up to so many free blocks, the lowest on top.
    pub(super) fn take(&mut self, most: usize) -> Stack {
        let mut taken = [0; BATCH_MAX];
        let mut count = 0;
        while count < most.min(BATCH_MAX).min(self.free) {
            let word = &mut self.bits[self.first];
            if *word == 0 {
                self.first += 1;
                continue;
            }
            taken[count] = self.first * 64 + word.trailing_zeros() as usize;
            *word &= *word - 1;
            count += 1;
        }
        self.free -= count;
        let mut stack = Stack::new();
        for &index in taken[..count].iter().rev() {
            // SAFETY: 1. The index is below the number of blocks, so the block lies in the chunk.
            // 2. Its bit said that it is nobody's.
            unsafe { stack.push(self.start.add(index * self.block_size)) };
        }
        stack
    }

    /// Takes a block back, and returns its size.
    pub(super) fn put(&mut self, block: NonNull<u8>) -> usize {
        let index = (block.addr().get() - self.start.addr().get()) / self.block_size;
        let (word, bit) = (index / 64, 1 << (index % 64));
        debug_assert_eq!(self.bits[word] & bit, 0, "a block is freed twice");
        self.bits[word] |= bit;
        self.first = self.first.min(word);
        self.free += 1;
        self.block_size
    }

    /// Checks what the fields say of each other; returns the free blocks.
    #[cfg(test)]
    pub(super) fn check(&self) -> usize {
        let bits: u32 = self.bits.iter().map(|word| word.count_ones()).sum();
        assert_eq!(self.free, bits as usize);
        assert!(self.bits.iter().take(self.first).all(|word| *word == 0));
        self.free
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout. The owner drops it when no block is in use.
        unsafe { pages::free(self.start, self.layout) };
    }
}
