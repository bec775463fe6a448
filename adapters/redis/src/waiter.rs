//! Who waits for an answer of the tier: a task, or a thread.
#![forbid(unsafe_code)]

/// One that waits, and is told whether a session was found.
pub(crate) enum Waiter {
    Task(tokio::sync::mpsc::UnboundedSender<bool>),
    Thread(std::sync::mpsc::Sender<bool>),
}

impl Waiter {
    /// Says so. Who has ceased to wait does not hear it.
    pub(crate) fn tell(self, is_found: bool) {
        match self {
            Self::Task(task) => drop(task.send(is_found)),
            Self::Thread(thread) => drop(thread.send(is_found)),
        }
    }
}
