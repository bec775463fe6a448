//! A list of jobs over a few workers.

use anyhow::Result;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Workers that keep every core busy with single-threaded jobs.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Does every job once and returns the results in the order of the jobs. The first worker takes
/// jobs from the front, the others from the back, so that neighbours mostly stay with one worker.
/// An error ends the work.
pub(crate) fn each<J: Send, R: Send>(
    workers: usize,
    jobs: Vec<J>,
    work: impl Fn(usize, J) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let queue: Mutex<VecDeque<_>> = Mutex::new(jobs.into_iter().enumerate().collect());
    let next = |worker: usize| {
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        if worker == 0 { queue.pop_front() } else { queue.pop_back() }
    };
    let done = Mutex::new(Vec::new());
    let run = |worker: usize| {
        while let Some((nth, job)) = next(worker) {
            let result = work(worker, job);
            if result.is_err() {
                queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
            }
            done.lock().unwrap_or_else(PoisonError::into_inner).push((nth, result));
        }
    };
    thread::scope(|scope| {
        for worker in 0..workers.max(1) {
            let run = &run;
            scope.spawn(move || run(worker));
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(nth, _)| *nth);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::each;
    use anyhow::bail;

    #[test]
    fn results_come_in_the_order_of_the_jobs() {
        let squares = each(3, (0..50).collect(), |_, n: usize| Ok(n * n)).unwrap();
        assert_eq!(squares, (0..50).map(|n| n * n).collect::<Vec<_>>());
    }

    #[test]
    fn an_error_is_the_result() {
        let result =
            each(2, (0..50).collect(), |_, n: usize| if n == 7 { bail!("seven") } else { Ok(n) });
        assert_eq!(result.unwrap_err().to_string(), "seven");
    }
}
