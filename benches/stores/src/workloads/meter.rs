//! Who takes the operations of a run.

/// Whoever measures operations one by one: before and after each there is something to do.
pub trait Meter {
    /// Does one operation.
    fn take<R>(&mut self, operation: impl FnOnce() -> R) -> R;
}

/// Does nothing beside: the operations of a run follow each other.
pub(super) struct Together;

impl Meter for Together {
    #[inline]
    fn take<R>(&mut self, operation: impl FnOnce() -> R) -> R {
        operation()
    }
}
