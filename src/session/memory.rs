//! The memory that blocks lie in.

use super::Secret;
use super::block::Block;
use crate::memory::LINE;
use crate::slab::{self, SizeClass};
use std::alloc::{Layout, alloc, dealloc};
use std::any::TypeId;
use std::ptr::NonNull;

/// The class of a block with so many bytes behind it. `None` if the global allocator supplies the
/// block; then nothing may lie behind it.
#[inline(always)]
pub(super) const fn class_of<T>(behind: usize) -> Option<SizeClass> {
    // The slab's blocks begin at a multiple of half a line.
    if align_of::<Block<T>>() > LINE / 2 {
        return None;
    }
    SizeClass::of_size(size_of::<Block<T>>().saturating_add(behind))
}

/// Bytes that a block takes, with what is behind it. Only of secrets is the block read.
#[inline(always)]
pub(crate) fn size_of_whole_block<T: 'static>(block: &Block<T>) -> usize {
    if TypeId::of::<T>() == TypeId::of::<Secret>() {
        if let Some(class) = block.class {
            return class.bytes();
        }
    }
    size_of_block::<T>()
}

/// Bytes that a block takes, without what is behind it.
#[inline(always)]
pub(crate) const fn size_of_block<T>() -> usize {
    match const { class_of::<T>(0) } {
        Some(class) => class.bytes(),
        None => size_of::<Block<T>>(),
    }
}

/// Memory for a block of a class that [`class_of`] said; `None` when it is exhausted.
#[inline(always)]
pub(super) fn allocate<T>(class: Option<SizeClass>) -> Option<NonNull<Block<T>>> {
    let memory = match class {
        Some(class) => slab::allocate(class),
        // SAFETY: a block has a size.
        None => NonNull::new(unsafe { alloc(Layout::new::<Block<T>>()) }),
    };
    memory.map(NonNull::cast)
}

/// Wipes the memory of a block and gives it back.
///
/// # Safety
/// It came from [`allocate`] of this class, and nobody uses it any more.
#[inline(always)]
pub(super) unsafe fn free<T>(block: NonNull<Block<T>>, class: Option<SizeClass>) {
    // Where nothing is behind the block, all that follows from the class is a constant.
    match const { class_of::<T>(0) } {
        // SAFETY: passed on.
        Some(usual) if class == Some(usual) => unsafe { slab::free(usual, block.cast()) },
        // SAFETY: passed on.
        _ => unsafe { free_by_class(block, class) },
    }
}

#[inline(never)]
unsafe fn free_by_class<T>(block: NonNull<Block<T>>, class: Option<SizeClass>) {
    let memory = block.cast();
    match class {
        // SAFETY: passed on.
        Some(class) => unsafe { slab::free(class, memory) },
        // SAFETY: without a class it was allocated with this layout, and it is the caller's.
        None => unsafe {
            slab::wipe(memory, size_of::<Block<T>>());
            dealloc(memory.as_ptr(), Layout::new::<Block<T>>());
        },
    }
}
