//! A store at a context, which can be taken away and put back while handshakes run.
//!
//! libssl has no lock for what is set on a context: whatever `attach` sets is set before the
//! context is shared, and stays. Only what the callbacks find behind it changes, in one step.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};
use sessile::Context;

use crate::context_store::ContextStore;
use crate::domain::{IdContext, domain_of};
use crate::server::ServerStore;

/// What a context was prepared for by its first `attach`.
pub(crate) struct Attached {
    id_context: IdContext,
    present: ArcSwapOption<ContextStore>,
}

impl Attached {
    pub(crate) fn new(store: ContextStore) -> Self {
        let id_context = *store.id_context();
        Self { id_context, present: ArcSwapOption::from_pointee(store) }
    }

    /// The store in force. No lock, and no write to what other threads use.
    pub(crate) fn store(&self) -> Guard<Option<Arc<ContextStore>>> {
        self.present.load()
    }

    /// Takes the store away.
    pub(crate) fn leave(&self) -> Option<ServerStore> {
        self.present.swap(None).map(|store| store.store().clone())
    }

    /// Puts a store in place of what is there. The context keeps its id context.
    pub(crate) fn enter(&self, store: ServerStore, name: &Context) -> Result<(), ReattachError> {
        if domain_of(name) != self.id_context.domain() {
            return Err(ReattachError::OtherName);
        }
        self.present.store(Some(Arc::new(ContextStore::at(store, self.id_context))));
        Ok(())
    }
}

/// Why [`ServerStore::reattach`] did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReattachError {
    /// No store was ever attached to the context.
    NeverAttached,
    /// The context was attached under another name, which it keeps.
    OtherName,
}

impl fmt::Display for ReattachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NeverAttached => "no store was ever attached to the context",
            Self::OtherName => "the context was attached under another name",
        })
    }
}

impl std::error::Error for ReattachError {}
