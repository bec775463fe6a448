//! A set of domains that only grows. Reads take no lock.
#![forbid(unsafe_code)]

use std::sync::OnceLock;

use sessile::Context;

/// A list: it is as long as the program has names for reusable contexts.
#[derive(Default)]
pub(crate) struct Domains(OnceLock<Box<Node>>);

struct Node {
    domain: Context,
    rest: Domains,
}

impl Domains {
    pub(crate) fn insert(&self, domain: Context) {
        let mut list = self;
        loop {
            let node = list.0.get_or_init(|| Box::new(Node { domain, rest: Self::default() }));
            if node.domain == domain {
                return;
            }
            list = &node.rest;
        }
    }

    pub(crate) fn contains(&self, domain: Context) -> bool {
        let mut list = self;
        while let Some(node) = list.0.get() {
            if node.domain == domain {
                return true;
            }
            list = &node.rest;
        }
        false
    }
}

impl Drop for Domains {
    /// One node after another: the drop of the first would recurse through all.
    fn drop(&mut self) {
        let mut next = self.0.take();
        while let Some(mut node) = next {
            next = node.rest.0.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_inserted_is_contained() {
        let (domains, name) = (Domains::default(), |index: u32| Context::digest([index.to_le_bytes()]));
        (0..100).for_each(|index| domains.insert(name(index % 50)));
        assert!((0..50).all(|index| domains.contains(name(index))));
        assert!(!domains.contains(name(50)));
    }

    #[test]
    fn a_long_list_is_dropped() {
        let mut domains = Domains::default();
        for index in 0..200_000_u32 {
            let node = Node { domain: Context::digest([index.to_le_bytes()]), rest: domains };
            domains = Domains(OnceLock::from(Box::new(node)));
        }
    }
}
