//! `fork` after use.
//!
//! The README promises: after `fork` without `exec` a child must not use a cache that the parent's
//! *other threads* were using. So a child of a process with threads may only end or execute another
//! program, and the parent must not notice; and a child of a process with one thread may use the
//! cache as the parent may. The latter needs a process without threads: this program again, as a
//! child of its own that forks further.

use super::outcome::{Figures, Outcome};
use super::support::{repeat, run_child};
use anyhow::{Context, Result, bail, ensure};
use sessile::SessionCache;
use std::fs;
use std::io::{self, Write};
use std::ptr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use testkit::{Ledger, Payload, disturbed, ensure_accounted, ensure_whole, id};

type Cache = SessionCache<Payload>;

/// After so many seconds a child that hangs is killed by its alarm.
const ALARM_SECONDS: u32 = 20;

const CAPACITY: usize = 200;

pub(crate) fn run(time: Duration, figures: &mut Figures) -> Result<()> {
    figures.faults.push(from_threads(time / 2)?);
    figures.faults.push(from_one_thread()?);
    Ok(())
}

/// Children of a process whose threads are in the middle of operations.
fn from_threads(time: Duration) -> Result<Outcome> {
    let mut outcome = Outcome::new("fork: beside threads at work");
    let ledger = Ledger::new();
    let cache: Cache = SessionCache::new(CAPACITY)?;
    let churn = |random: &mut fastrand::Rng| {
        let number = random.u64(..400);
        drop(cache.add(ledger.session(number)));
        drop(cache.take(&id(random.u64(..400))));
        drop(cache.get(&id(number)));
    };
    repeat(time, |round| {
        let executes = round % 2 == 0;
        outcome.attempt(if executes { "executes" } else { "ends" }, || {
            disturbed(2, churn, || {
                for _ in 0..10 {
                    drop(cache.add(ledger.session(round)));
                    held_in_child(|| if executes { execute_true() } else { 0 })?;
                }
                anyhow::Ok(())
            })?;
            ensure_accounted(&cache, &ledger)
        });
    });
    Ok(outcome)
}

/// Children of a process without threads, which use the cache.
fn from_one_thread() -> Result<Outcome> {
    let mut outcome = Outcome::new("fork: by a process of one thread");
    let output = run_child(&["fork"])?;
    let text = String::from_utf8_lossy(&output.stdout);
    for (name, _) in TRIES {
        outcome.attempt(name, || {
            let said = text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            match said {
                Some("held") => Ok(()),
                Some(error) => bail!("{error}"),
                None => {
                    bail!("{}, {}", output.status, String::from_utf8_lossy(&output.stderr).trim())
                }
            }
        });
    }
    Ok(outcome)
}

type Try = (&'static str, fn(&Cache, &Arc<Ledger>) -> Result<()>);

const TRIES: [Try; 5] = [
    ("the child uses the cache:", |cache, ledger| use_in_child(cache, ledger, use_up)),
    ("the child starts threads:", |cache, ledger| {
        use_in_child(cache, ledger, |cache, ledger| {
            thread::scope(|scope| {
                let running: Vec<_> = (0..4).map(|_| scope.spawn(|| work(cache, ledger))).collect();
                running.into_iter().all(|one| one.join().is_ok())
            });
            use_up(cache, ledger)
        })
    }),
    ("the child of a child uses the cache:", |cache, ledger| {
        use_in_child(cache, ledger, |cache, ledger| use_in_child(cache, ledger, use_up))
    }),
    ("forked inside read:", |cache, ledger| {
        drop(cache.add(ledger.session(1)));
        let check = || {
            work(cache, ledger);
            code_of(ensure_whole(cache))
        };
        cache.read(&id(1), |_| held_in_child(check)).context("nothing to read")?
    }),
    ("forked with garbage waiting:", |cache, ledger| {
        (0..50).for_each(|number| drop(cache.take(&id(number))));
        use_in_child(cache, ledger, use_up)
    }),
];

/// What the process without threads does.
pub(crate) fn child() -> Result<()> {
    ensure!(threads_here()? == 1, "this process has threads");
    for (name, attempt) in TRIES {
        let ledger = Ledger::new();
        let cache = SessionCache::new(CAPACITY)?;
        (0..1000).for_each(|number| drop(cache.add(ledger.session(number % 300))));
        let result = attempt(&cache, &ledger).and_then(|()| {
            // The parent goes on as if nothing had happened.
            ensure_whole(&cache)?;
            use_up(&cache, &ledger)
        });
        let said = result.map_or_else(|error| format!("{error:#}"), |()| "held".into());
        println!("{name} {said}");
        io::stdout().flush()?;
    }
    Ok(())
}

fn threads_here() -> Result<usize> {
    Ok(fs::read_dir("/proc/self/task").context("cannot count threads")?.count())
}

fn use_in_child(
    cache: &Cache,
    ledger: &Arc<Ledger>,
    attempt: impl Fn(&Cache, &Arc<Ledger>) -> Result<()>,
) -> Result<()> {
    held_in_child(|| code_of(attempt(cache, ledger)))
}

fn code_of(result: Result<()>) -> i32 {
    match result {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("in the child: {error:#}");
            1
        }
    }
}

fn work(cache: &Cache, ledger: &Arc<Ledger>) {
    for number in 0..2000 {
        drop(cache.add(ledger.session(number % 300)));
        drop(cache.get(&id(number % 300)));
        drop(cache.take(&id(number % 150)));
    }
}

/// Every operation; in the end nothing is left.
fn use_up(cache: &Cache, ledger: &Arc<Ledger>) -> Result<()> {
    work(cache, ledger);
    ensure_whole(cache)?;
    cache.set_capacity(CAPACITY / 2)?;
    ensure!(cache.len() <= CAPACITY / 2);
    cache.set_capacity(CAPACITY)?;
    work(cache, ledger);
    cache.clear();
    ensure_accounted(cache, ledger)?;
    ledger.ensure_alive(0)
}

/// Runs `f` in a child process, which must end with 0.
fn held_in_child(f: impl FnOnce() -> i32) -> Result<()> {
    let code = in_child(f)?;
    ensure!(code == 0, "the child ended with {code}");
    Ok(())
}

/// Runs `f` in a child process and returns how that ended: its exit code, or 128 and the signal.
fn in_child(f: impl FnOnce() -> i32) -> Result<i32> {
    // SAFETY: `fork` has no precondition. In a process with threads the callers' `f` does nothing
    // that needs a lock or memory.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()).context("cannot fork"),
        0 => {
            // SAFETY: both are async-signal-safe; `_exit` runs no destructor and flushes nothing,
            // which belongs to the parent.
            unsafe {
                libc::alarm(ALARM_SECONDS);
                libc::_exit(f())
            }
        }
        child => {
            let mut status = 0;
            // SAFETY: `status` is valid for the call.
            if unsafe { libc::waitpid(child, &raw mut status, 0) } != child {
                return Err(io::Error::last_os_error()).context("cannot wait for the child");
            }
            let is_exit = libc::WIFEXITED(status);
            Ok(if is_exit { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) })
        }
    }
}

/// Becomes the program `true`; returns if that fails.
fn execute_true() -> i32 {
    let program = c"/bin/true";
    let arguments = [program.as_ptr(), ptr::null()];
    // SAFETY: the path and the list of arguments end with a null; `execv` is async-signal-safe.
    unsafe { libc::execv(program.as_ptr(), arguments.as_ptr()) };
    127
}

#[cfg(test)]
mod tests {
    use super::{execute_true, in_child};

    #[test]
    fn the_end_of_a_child_is_told() {
        assert_eq!(in_child(|| 0).unwrap(), 0);
        assert_eq!(in_child(|| 7).unwrap(), 7);
        assert_eq!(in_child(execute_true).unwrap(), 0);
        // SAFETY: kills the child alone.
        let killed = in_child(|| unsafe { libc::raise(libc::SIGKILL) });
        assert_eq!(killed.unwrap(), 128 + libc::SIGKILL);
    }
}
