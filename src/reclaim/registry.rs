//! An append-only list of nodes with one owner at a time.
//!
//! Nodes are pushed at the head and live as long as the list. A thread acquires a free node or pushes a new one, and
//! releases it when it exits; what is in the node passes to the next owner.

use crate::sync::Ordering;
use crate::sync::on_request::{AtomicBool, AtomicPtr, AtomicUsize};
use std::ptr;

pub(crate) struct Registry<N> {
    head: AtomicPtr<Node<N>>,
    len: AtomicUsize,
}

pub(crate) struct Node<N> {
    owned: AtomicBool,
    /// Written before the node is published, never after.
    next: *const Node<N>,
    pub(crate) value: N,
}

impl<N> Registry<N> {
    pub(crate) fn new() -> Self {
        Self { head: AtomicPtr::new(ptr::null_mut()), len: AtomicUsize::new(0) }
    }

    /// Takes a free node over, or appends the node that `make` builds from its index.
    pub(crate) fn acquire(&self, make: impl FnOnce(usize) -> N) -> &Node<N> {
        if let Some(node) = self.iter().find(|node| node.try_own()) {
            return node;
        }
        // ORDERING: Relaxed: the index only has to be unique.
        let index = self.len.fetch_add(1, Ordering::Relaxed);
        self.push(Box::new(Node { owned: AtomicBool::new(true), next: ptr::null(), value: make(index) }))
    }

    fn push(&self, mut node: Box<Node<N>>) -> &Node<N> {
        // ORDERING: Relaxed: only compared; the nodes behind it are read through `iter`, which acquires.
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            node.next = head;
            let raw = Box::into_raw(node);
            // ORDERING: Release publishes the node, pairs with the Acquire load in `iter`; the release sequence carries on
            // what older heads published. Relaxed on failure: the value is only compared. Model: `registry_is_walked`.
            match self.head.compare_exchange(head, raw, Ordering::Release, Ordering::Relaxed) {
                // SAFETY: nodes are freed by `Registry::drop` alone.
                Ok(_) => return unsafe { &*raw },
                Err(now) => {
                    head = now;
                    // SAFETY: the exchange failed, so `raw` was not published and is still ours.
                    node = unsafe { Box::from_raw(raw) };
                }
            }
        }
    }

    /// All nodes, owned or not, newest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Node<N>> {
        // ORDERING: Acquire: pairs with the Release exchange in `push`. Model: `registry_is_walked`.
        let mut next = self.head.load(Ordering::Acquire).cast_const();
        std::iter::from_fn(move || {
            // SAFETY: a published node lives as long as the list; `next` was written before publication.
            let node = unsafe { next.as_ref() }?;
            next = node.next;
            Some(node)
        })
    }

    pub(crate) fn len(&self) -> usize {
        // ORDERING: Relaxed: a count.
        self.len.load(Ordering::Relaxed)
    }
}

impl<N> Node<N> {
    fn try_own(&self) -> bool {
        // ORDERING: Acquire on success: takes over what the last owner did, pairs with `disown`; the load before it
        // and the failure are hints. Model: `registry_hands_over`.
        !self.owned.load(Ordering::Relaxed)
            && self.owned.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Frees the node for another owner.
    pub(crate) fn disown(&self) {
        // ORDERING: Release: hands over what this owner did, pairs with `try_own`. Model: `registry_hands_over`.
        self.owned.store(false, Ordering::Release);
    }
}

impl<N> Drop for Registry<N> {
    fn drop(&mut self) {
        // ORDERING: Relaxed: `&mut self` is ordered after every other user.
        let mut next = self.head.load(Ordering::Relaxed);
        while !next.is_null() {
            // SAFETY: every node came from a box in `push` and is freed here once.
            let node = unsafe { Box::from_raw(next) };
            next = node.next.cast_mut();
        }
    }
}
