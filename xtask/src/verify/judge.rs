//! What the run of one test means. Only a test that said "no" counts as a failure: a search that
//! did not finish, a test that does not exist or a checker that rejects its own orders proves
//! nothing.

use super::child::Ended;

/// The meaning of one run of one test.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Judgement {
    /// The test ran and passed.
    Held,
    /// The test ran and failed; the first complaint.
    Failed(String),
    /// The test ran into its time limit.
    Hung(String),
    /// Nothing is known.
    Inconclusive(String),
}

/// Complaints that speak of the search and not of what was searched.
const INCOMPLETE: [&str; 6] = [
    "the search is incomplete",
    "a single schedule: loom sees nothing",
    "exceeded maximum number of branches",
    "too many threads for the marks",
    "there is no such thing as a",
    "SESSILE_WEAKEN must read",
];

const OUT_OF_BRANCHES: &str = "exceeded maximum number of branches";

const SIGKILL: &str = "signal: 9";

/// Judges a run of exactly one test of a libtest binary.
pub(crate) fn judge(ended: &Ended) -> Judgement {
    let Some(status) = ended.status else {
        return Judgement::Hung(format!("cut off after {:.0} s", ended.seconds));
    };
    let output = format!("{}\n{}", ended.stdout, ended.stderr);
    if status.success() {
        return if output.contains("1 passed;") {
            Judgement::Held
        } else {
            Judgement::Inconclusive("no such test".into())
        };
    }
    if let Some(found) = INCOMPLETE.iter().find(|complaint| output.contains(**complaint)) {
        let what = format!("\"{found}\"");
        return if *found == OUT_OF_BRANCHES {
            Judgement::Hung(what)
        } else {
            Judgement::Inconclusive(what)
        };
    }
    if let Some(complaint) = panic_message(&output) {
        return Judgement::Failed(complaint);
    }
    let how = status.to_string();
    // A signal that the process brought on itself: memory was damaged.
    if how.starts_with("signal") && !how.starts_with(SIGKILL) {
        return Judgement::Failed(how);
    }
    Judgement::Inconclusive(format!("{how} without a panic"))
}

/// The line after "panicked at".
fn panic_message(output: &str) -> Option<String> {
    let mut lines = output.lines().skip_while(|line| !line.contains("panicked at "));
    let place = lines.next()?;
    Some(lines.next().unwrap_or(place).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    fn ended(wait_status: Option<i32>, output: &str) -> Ended {
        let status = wait_status.map(ExitStatus::from_raw);
        Ended { status, stdout: output.into(), stderr: String::new(), seconds: 1.0 }
    }

    const CODE_101: Option<i32> = Some(101 << 8);

    #[test]
    fn a_pass_needs_a_test_that_ran() {
        assert_eq!(judge(&ended(Some(0), "test result: ok. 1 passed; 0 failed")), Judgement::Held);
        let none = judge(&ended(Some(0), "test result: ok. 0 passed; 0 failed"));
        assert_eq!(none, Judgement::Inconclusive("no such test".into()));
    }

    #[test]
    fn a_panic_is_a_failure() {
        let output =
            "thread 'x' (7) panicked at src/a.rs:1:2:\nmemory is used after its end\nnote: …";
        assert_eq!(
            judge(&ended(CODE_101, output)),
            Judgement::Failed("memory is used after its end".into())
        );
    }

    #[test]
    fn an_incomplete_search_is_neither() {
        let output = "thread 'x' panicked at loom-tests/src/model.rs:1:2:\nthe search is incomplete after 9 schedules";
        assert!(matches!(judge(&ended(CODE_101, output)), Judgement::Inconclusive(_)));
        let output =
            "thread 'x' panicked at loom:\nModel exceeded maximum number of branches. This …";
        assert!(matches!(judge(&ended(CODE_101, output)), Judgement::Hung(_)));
        assert!(matches!(judge(&ended(None, "")), Judgement::Hung(_)));
        assert!(matches!(judge(&ended(Some(1 << 8), "usage: …")), Judgement::Inconclusive(_)));
    }

    #[test]
    fn a_crash_is_a_failure_and_a_kill_from_outside_is_not() {
        assert!(matches!(judge(&ended(Some(11), "")), Judgement::Failed(_)));
        assert!(matches!(judge(&ended(Some(9), "")), Judgement::Inconclusive(_)));
    }
}
