//! Which contexts were revoked, and in which order.
#![forbid(unsafe_code)]

use crate::session::{Context, Generation};
use crate::sync::ArcCell;
use crate::timestamp::Timestamp;
use std::collections::HashMap;

/// Numbers end here: a context that is revoked in this generation has no session any more, of
/// whatever generation.
const LAST: Generation = Generation(Generation::UNSET.0 - 1);

/// The revocations of one cache. A session of a context is revoked if its generation is older than
/// the one that the context's last revocation began.
pub(crate) struct Revocations(ArcCell<List>);

#[derive(Clone, Default)]
struct List {
    present: Generation,
    last: HashMap<Context, Revocation>,
}

#[derive(Clone, Copy)]
struct Revocation {
    /// The first generation that is valid again.
    began: Generation,
    at: Timestamp,
}

impl Revocations {
    pub(crate) fn new() -> Self {
        Self(ArcCell::new(List::default()))
    }

    /// Begins a generation. Copies the list, which has one entry for each context ever revoked.
    pub(crate) fn revoke(&self, context: Context, at: Timestamp) -> Generation {
        let mut began = Generation::default();
        self.0.update(|list| {
            let mut list = list.clone();
            began = Generation(list.present.0.saturating_add(1).min(LAST.0));
            list.present = began;
            list.last.insert(context, Revocation { began, at });
            list
        });
        began
    }

    #[cold]
    pub(crate) fn generation(&self) -> Generation {
        self.0.load().present
    }

    #[cold]
    pub(crate) fn is_revoked(&self, context: &Context, since: Generation) -> bool {
        self.0.load().last.get(context).is_some_and(|last| since < last.began || last.began == LAST)
    }

    #[cold]
    pub(crate) fn revoked_at(&self, context: &Context) -> Option<Timestamp> {
        self.0.load().last.get(context).map(|last| last.at)
    }
}
