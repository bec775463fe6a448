//! A shared value that is replaced whole and read rarely.

use arc_swap::ArcSwap;
use std::sync::Arc;

/// Holds what administrators change and hot paths do not read: hooks.
///
/// The only user of arc-swap. loom cannot see through it, so nothing that a model must order lives
/// behind it.
#[derive(Debug)]
pub(crate) struct ArcCell<T>(ArcSwap<T>);

impl<T> ArcCell<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(ArcSwap::from_pointee(value))
    }

    pub(crate) fn load(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Replaces the value by what `change` makes of it, which may be called more than once.
    pub(crate) fn update(&self, change: impl FnMut(&T) -> T) {
        let mut change = change;
        self.0.rcu(|value| change(value));
    }

    pub(crate) fn store(&self, value: T) {
        self.0.store(Arc::new(value));
    }
}
