//! The payload by a name of its own.
#![forbid(unsafe_code)]

use super::Session;

impl<T> Session<T> {
    /// The payload, as `Deref` gives it.
    ///
    /// A payload may have methods that are called as those of the handle: `id`, `timeout`,
    /// `protocol`. Method calls find the handle's. This is how to reach the payload's.
    ///
    /// ```
    /// use sessile::{Session, SessionId};
    ///
    /// struct State;
    ///
    /// impl State {
    ///     fn id(&self) -> &str {
    ///         "user 7"
    ///     }
    /// }
    ///
    /// let session = Session::new(SessionId::from([1; 32]), State);
    /// assert_eq!(session.id(), SessionId::from([1; 32]));
    /// assert_eq!(Session::payload(&session).id(), "user 7");
    /// ```
    pub fn payload(this: &Self) -> &T {
        this
    }
}
