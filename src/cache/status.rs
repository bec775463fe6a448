//! Counters and limits in one value.
#![forbid(unsafe_code)]

use super::SessionCache;
use crate::status::Status;

impl<T: Send + Sync + 'static> SessionCache<T> {
    /// The counters with the limits beside them: what an exporter needs. Never contends with
    /// lookups.
    ///
    /// The parts are read one after the other, while other threads may change them.
    pub fn status(&self) -> Status {
        let bound = |limit: usize| Some(limit).filter(|&limit| limit != usize::MAX);
        let weight = self.budget.weight();
        Status {
            stats: self.stats(),
            capacity: bound(self.capacity()),
            weight: weight.map(|(used, _)| used),
            weight_limit: weight.and_then(|(_, limit)| bound(limit)),
            garbage_limit: self.budget.garbage_limit() as usize,
        }
    }
}
