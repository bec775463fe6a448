//! The pool of one size class, and who has its blocks.

use crate::slab::{Pool, SizeClass};
use crate::sync::UnsafeCell;
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

/// A size class of blocks of one line.
pub struct BareSlab {
    pool: Pool,
    class: SizeClass,
    /// By address: what the users of a block write to.
    blocks: Mutex<BTreeMap<usize, Arc<Content>>>,
}

struct Content(UnsafeCell<bool>);

// SAFETY: the slab has to hand a block to one thread at a time; the checker notices when it does
// not.
unsafe impl Send for Content {}
// SAFETY: as above.
unsafe impl Sync for Content {}

/// A block in use.
pub struct BareBlock {
    memory: NonNull<u8>,
    content: Arc<Content>,
}

// SAFETY: as for `Content`.
unsafe impl Send for BareBlock {}

impl BareSlab {
    /// Without memory.
    pub fn new() -> Self {
        let class = SizeClass::for_size(1).expect("a block of a line");
        Self { pool: Pool::new(), class, blocks: Mutex::default() }
    }

    /// Takes a block, through the magazine of a stripe, and writes to it.
    pub fn allocate(&self, stripe: usize) -> Option<BareBlock> {
        let memory = self.pool.allocate(stripe, self.class)?;
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let content = blocks
            .entry(memory.addr().get())
            .or_insert_with(|| Arc::new(Content(UnsafeCell::new(false))));
        let block = BareBlock { memory, content: Arc::clone(content) };
        drop(blocks);
        block.set_in_use(true);
        Some(block)
    }

    /// Gives a block back through the magazine of a stripe.
    pub fn free(&self, stripe: usize, block: BareBlock) {
        block.set_in_use(false);
        // SAFETY: it is of this pool, and its user gives it up.
        unsafe { self.pool.free(stripe, self.class, block.memory) };
    }

    /// Gives free chunks back.
    pub fn trim(&self) {
        self.pool.trim();
    }

    /// Whether all memory was given back.
    pub fn is_empty(&self) -> bool {
        self.pool.bytes() == Some(0)
    }
}

impl BareBlock {
    fn set_in_use(&self, in_use: bool) {
        self.content.0.with_mut(|content| {
            // SAFETY: the checker sees that nobody else is here.
            let before = unsafe { content.replace(in_use) };
            assert_ne!(before, in_use, "a block with two users");
        });
    }
}
