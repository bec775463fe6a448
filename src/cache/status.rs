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
        let budget = self.weighing.as_ref().map(|weighing| &weighing.budget);
        Status {
            stats: self.stats(),
            capacity: bound(self.capacity()),
            weight: budget.map(|budget| budget.used()),
            weight_limit: budget.and_then(|budget| bound(budget.limit())),
            garbage_limit: self.garbage_limit as usize,
        }
    }
}
