//! What libssl's callbacks find at the `SslContext` and the `Ssl` they are called for.
#![forbid(unsafe_code)]

use std::sync::OnceLock;

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{SslContext, SslContextBuilder, SslContextRef, SslRef};

use crate::extra::ExtraIndex;

/// The index that is kept here, made at the first call.
fn index<I: Copy>(
    kept: &OnceLock<I>,
    make: fn() -> Result<I, ErrorStack>,
) -> Result<I, ErrorStack> {
    match kept.get() {
        Some(index) => Ok(*index),
        None => {
            let made = make()?;
            Ok(*kept.get_or_init(|| made))
        }
    }
}

/// The place of one kind of value among the extra data of contexts.
pub(crate) struct Place<T>(OnceLock<Index<SslContext, T>>);

impl<T: Send + Sync + 'static> Place<T> {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// Puts a value there, in place of what was attached before.
    pub(crate) fn fill(&self, context: &mut SslContextBuilder, value: T) -> Result<(), ErrorStack> {
        context.set_ex_data(index(&self.0, SslContext::new_ex_index)?, value);
        Ok(())
    }

    /// What is attached to a context. Two loads, no lock.
    pub(crate) fn at<'c>(&self, context: &'c SslContextRef) -> Option<&'c T> {
        context.ex_data(*self.0.get()?)
    }
}

/// The place of one kind of value among the extra data of connections. A copy that libssl makes of
/// a connection has none.
pub(crate) struct Slot<T>(OnceLock<ExtraIndex<T>>);

impl<T: Send + Sync + 'static> Slot<T> {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    pub(crate) fn fill(&self, ssl: &mut SslRef, value: T) -> Result<(), ErrorStack> {
        index(&self.0, ExtraIndex::new)?.set(ssl, value)
    }

    pub(crate) fn at<'s>(&self, ssl: &'s SslRef) -> Option<&'s T> {
        self.0.get()?.get(ssl)
    }

    pub(crate) fn at_mut<'s>(&self, ssl: &'s mut SslRef) -> Option<&'s mut T> {
        self.0.get()?.get_mut(ssl)
    }
}
