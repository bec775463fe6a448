//! What a part works with.

use super::child::Log;
use super::progress::Progress;
use crate::command::root;
use anyhow::Result;

/// One part's log, progress and limits.
#[derive(Debug)]
pub(crate) struct PartContext<'a> {
    pub(crate) log: Log,
    pub(crate) progress: Progress,
    /// The night version.
    pub(crate) long: bool,
    /// Only what contains this.
    pub(crate) filter: Option<&'a str>,
}

impl<'a> PartContext<'a> {
    pub(crate) fn new(part: &'static str, long: bool, filter: Option<&'a str>) -> Result<Self> {
        let log = Log::create(&root().join(format!("target/verify/{part}.log")))?;
        Ok(Self { log, progress: Progress::new(part), long, filter })
    }

    /// A value for the short version, or another one for the night.
    pub(crate) fn choose<T>(&self, short: T, night: T) -> T {
        if self.long { night } else { short }
    }

    /// Whether the filter lets this through.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.filter.is_none_or(|filter| name.contains(filter))
    }
}
