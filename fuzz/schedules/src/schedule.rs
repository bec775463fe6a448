//! A scheduler that takes its choices from bytes.
//!
//! One byte is one choice: who runs (2 bits) and for how many scheduling points before the next
//! byte is read (6 bits). So a short input has few preemptions, as most bugs do, and cutting an
//! input off is a small change. When the bytes are used up, threads run one after another, each as
//! long as it can.

use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};

/// One schedule.
#[derive(Debug)]
pub struct Bytes {
    choices: std::vec::IntoIter<u8>,
    /// Scheduling points that the running thread may still pass.
    left: u8,
    is_used: bool,
}

impl Bytes {
    /// The schedule that these bytes describe.
    pub fn new(choices: &[u8]) -> Self {
        Self { choices: Vec::from(choices).into_iter(), left: 0, is_used: false }
    }

    /// The first of `others` after `current`, around the end.
    fn next_in_turn(others: &[TaskId], current: Option<TaskId>) -> Option<TaskId> {
        let is_later = |task: &&TaskId| {
            current.is_none_or(|current| usize::from(**task) > usize::from(current))
        };
        others.iter().find(is_later).or(others.first()).copied()
    }
}

impl Scheduler for Bytes {
    fn new_execution(&mut self) -> Option<Schedule> {
        let is_first = !std::mem::replace(&mut self.is_used, true);
        is_first.then(|| Schedule::new(0))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        // Whoever waits for another thread must let one run.
        let may_run = |task: &TaskId| runnable.len() == 1 || !is_yielding || Some(*task) != current;
        let tasks: Vec<TaskId> = runnable.iter().map(|task| task.id()).filter(may_run).collect();
        let stays = current.filter(|current| tasks.contains(current));
        if tasks.len() == 1 {
            return tasks.first().copied();
        }
        if stays.is_some() && self.left > 0 {
            self.left -= 1;
            return stays;
        }
        match self.choices.next() {
            Some(choice) => {
                self.left = choice >> 2;
                tasks.get(usize::from(choice & 3) % tasks.len()).copied()
            }
            None => stays.or_else(|| Self::next_in_turn(&tasks, current)),
        }
    }

    /// Nothing in a scenario asks for a random number.
    fn next_u64(&mut self) -> u64 {
        0
    }
}
