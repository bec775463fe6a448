//! Which contexts were revoked, and when.
#![forbid(unsafe_code)]

use crate::session::{Context, Generation};
use crate::sync::ArcCell;
use crate::timestamp::Timestamp;
use std::collections::HashMap;

/// The revocations of one cache. A session of a context is revoked if its generation is older than
/// the one that the context's last revocation began.
pub(crate) struct Revocations(ArcCell<HashMap<Context, Revocation>>);

#[derive(Clone, Copy)]
struct Revocation {
    /// The first generation that is valid again.
    began: Generation,
    at: Timestamp,
}

impl Revocations {
    pub(crate) fn new() -> Self {
        Self(ArcCell::new(HashMap::new()))
    }

    /// Notes that the context's sessions of before the generation `began` are revoked. Copies the
    /// list, which has one entry for each context ever revoked.
    pub(crate) fn note(&self, context: Context, began: Generation, at: Timestamp) {
        let revocation = Revocation { began, at };
        self.0.update(|list| {
            let mut list = list.clone();
            // Another thread may have revoked the context in a later generation meanwhile.
            let last = list.entry(context).or_insert(revocation);
            if last.began < revocation.began {
                *last = revocation;
            }
            list
        });
    }

    #[cold]
    pub(crate) fn is_revoked(&self, context: &Context, since: Generation) -> bool {
        let is_after = |last: &Revocation| since < last.began || last.began == Generation::LAST;
        self.0.load().get(context).is_some_and(is_after)
    }

    #[cold]
    pub(crate) fn revoked_at(&self, context: &Context) -> Option<Timestamp> {
        self.0.load().get(context).map(|last| last.at)
    }
}
