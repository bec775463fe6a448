//! The slab: one size class, of magazines with room for two blocks, and chunks of two.
//!
//! Guards: the hand-over of a magazine and of the depot, the stack of blocks that found a magazine
//! in use, the chunk that is given back while others allocate.
#![cfg(sessile_loom)]

use loom_tests::{model, spawn_with};
use sessile::internals::BareSlab;
use std::sync::Arc;

/// Takes a block and gives it back, if there is one to be had.
fn use_block(slab: &BareSlab, stripe: usize) {
    if let Some(block) = slab.allocate(stripe) {
        slab.free(stripe, block);
    }
}

/// Gives all memory back, of which nothing is in use.
fn end(slab: &BareSlab) {
    slab.trim();
    assert!(slab.is_empty());
}

/// A thread of another stripe, or of the same, does the same as this one.
fn use_beside(stripe: usize) {
    let slab = Arc::new(BareSlab::new());
    let other = spawn_with(&slab, move |slab| use_block(&slab, stripe));
    use_block(&slab, 0);
    other.join().unwrap();
    end(&slab);
}

/// Two threads of one stripe: a block passes from one to the other through the magazine.
#[model]
fn slab_two_threads() {
    use_beside(0);
}

/// Two threads of two stripes, which meet at the depot.
#[model]
fn slab_two_stripes() {
    use_beside(1);
}

/// A block that finds its magazine in use is the next user's.
#[model]
fn slab_returned() {
    let slab = Arc::new(BareSlab::new());
    let block = slab.allocate(0).expect("nobody else is here");
    let other = spawn_with(&slab, |slab| slab.free(0, block));
    // Both blocks of the chunk, if the other one is back.
    let taken = [slab.allocate(0), slab.allocate(1)];
    other.join().unwrap();
    taken.into_iter().flatten().for_each(|block| slab.free(1, block));
    end(&slab);
}

/// Two blocks that find their magazine in use, beside a third thread that has it.
#[model(preemptions(2))]
fn slab_returned_by_two() {
    let slab = Arc::new(BareSlab::new());
    let blocks: Vec<_> = (0..2).filter_map(|_| slab.allocate(0)).collect();
    assert_eq!(blocks.len(), 2, "nobody else is here");
    let free = |block| spawn_with(&slab, |slab| slab.free(0, block));
    let others: Vec<_> = blocks.into_iter().map(free).collect();
    use_block(&slab, 0);
    others.into_iter().for_each(|other| other.join().unwrap());
    end(&slab);
}

/// A chunk that becomes free while another thread allocates from it.
#[model]
fn slab_trim() {
    let slab = Arc::new(BareSlab::new());
    use_block(&slab, 0);
    let other = spawn_with(&slab, |slab| use_block(&slab, 0));
    slab.trim();
    other.join().unwrap();
    end(&slab);
}

/// A thread that gives back more than its magazine holds, beside one that takes.
#[model(preemptions(2))]
fn slab_full_magazine() {
    let slab = Arc::new(BareSlab::new());
    let blocks: Vec<_> = (0..3).filter_map(|_| slab.allocate(0)).collect();
    assert_eq!(blocks.len(), 3, "nobody else is here");
    let other = spawn_with(&slab, |slab| use_block(&slab, 1));
    blocks.into_iter().for_each(|block| slab.free(0, block));
    other.join().unwrap();
    end(&slab);
}
