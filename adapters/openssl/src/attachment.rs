//! What libssl's callbacks find at the `SslContext` they are called for.
#![forbid(unsafe_code)]

use std::sync::OnceLock;

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{SslContext, SslContextBuilder, SslContextRef};

use crate::ffi::InfoCallback;

/// A store at one context.
#[derive(Debug)]
pub(crate) struct Attachment<S> {
    pub(crate) store: S,
    /// The info callback that the context had before.
    pub(crate) former: Option<InfoCallback>,
}

/// The place of one kind of attachment among the extra data of contexts.
pub(crate) struct Place<S>(OnceLock<Index<SslContext, Attachment<S>>>);

impl<S: Send + Sync + 'static> Place<S> {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// Puts an attachment there, in place of what was attached before.
    pub(crate) fn fill(
        &self,
        context: &mut SslContextBuilder,
        attachment: Attachment<S>,
    ) -> Result<(), ErrorStack> {
        let index = match self.0.get() {
            Some(index) => *index,
            None => {
                let made = SslContext::new_ex_index()?;
                *self.0.get_or_init(|| made)
            }
        };
        context.set_ex_data(index, attachment);
        Ok(())
    }

    /// What is attached to a context. Two loads, no lock.
    pub(crate) fn at<'c>(&self, context: &'c SslContextRef) -> Option<&'c Attachment<S>> {
        context.ex_data(*self.0.get()?)
    }
}
