//! Running a child: its output is captured and kept in the part's log, and its time is limited.

use crate::command::show;
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use wait_timeout::ChildExt;

/// Lines of output that a complaint shows.
const TAIL_LINES: usize = 24;

/// cargo's messages are for programs; what it has to say to people is on standard error.
const CARGO_MESSAGE: &str = "{\"reason\":";

/// The file that keeps what a part's children printed.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: Mutex<File>,
}

impl Log {
    /// A new log; one from an earlier run is replaced.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let file =
            File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { path: path.to_owned(), file: Mutex::new(file) })
    }

    /// Adds an entry; entries of children that run side by side do not mix.
    pub(crate) fn add(&self, entry: &str) -> Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(file, "{entry}").with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// A child that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` when it was cut off at its limit.
    pub(crate) status: Option<ExitStatus>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) seconds: f64,
}

impl Ended {
    pub(crate) fn is_success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// How it ended, and its last lines.
    pub(crate) fn tail(&self) -> String {
        let lines = self.stdout.lines().chain(self.stderr.lines());
        let lines: Vec<_> = lines.filter(|line| !line.starts_with(CARGO_MESSAGE)).collect();
        let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        format!("{}\n    {}", self.how(), last.join("\n    "))
    }

    fn how(&self) -> String {
        match self.status {
            Some(status) => status.to_string(),
            None => format!("cut off after {:.0} s", self.seconds),
        }
    }
}

/// Runs `command`, for at most `limit` if there is one.
pub(crate) fn run(command: &mut Command, limit: Option<Duration>, log: &Log) -> Result<Ended> {
    let shown = show(command);
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{shown}`"))?;
    let stdout = child.stdout.take().map(|pipe| thread::spawn(move || read(pipe)));
    let stderr = child.stderr.take().map(|pipe| thread::spawn(move || read(pipe)));
    let status = match limit {
        None => Some(child.wait()?),
        Some(limit) => child.wait_timeout(limit)?,
    };
    if status.is_none() {
        // It may have ended by itself in between; either way it is waited for.
        let _ = child.kill();
        child.wait()?;
    }
    let collect =
        |thread: Option<thread::JoinHandle<String>>| thread.and_then(|thread| thread.join().ok());
    let ended = Ended {
        status,
        stdout: collect(stdout).unwrap_or_default(),
        stderr: collect(stderr).unwrap_or_default(),
        seconds: start.elapsed().as_secs_f64(),
    };
    let (how, seconds) = (ended.how(), ended.seconds);
    let is_message = ended.stdout.starts_with(CARGO_MESSAGE);
    let stdout = if is_message { "" } else { &ended.stdout };
    log.add(&format!("$ {shown}\n{stdout}{}# {how}, {seconds:.2} s\n", ended.stderr))?;
    Ok(ended)
}

/// Runs a command that must succeed, a build for example.
pub(crate) fn demand(command: &mut Command, log: &Log) -> Result<Ended> {
    let ended = run(command, None, log)?;
    if !ended.is_success() {
        bail!("`{}`: {}", show(command), ended.tail());
    }
    Ok(ended)
}

fn read(mut pipe: impl Read) -> String {
    let mut bytes = Vec::new();
    // What was read before an error is still worth showing.
    let _ = pipe.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Option<Duration>) -> (Ended, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part.log");
        let log = Log::create(&path).unwrap();
        let ended = run(Command::new("sh").args(["-c", script]), limit, &log).unwrap();
        (ended, fs::read_to_string(path).unwrap())
    }

    #[test]
    fn output_and_status_are_captured_and_logged() {
        let (ended, log) = shell("echo out; echo err >&2; exit 3", None);
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("out\n", "err\n"));
        assert_eq!(ended.status.and_then(|status| status.code()), Some(3));
        assert!(!ended.is_success());
        assert!(log.contains("out\nerr\n# exit status: 3"), "{log}");
    }

    #[test]
    fn messages_for_programs_are_shown_to_nobody() {
        let (ended, log) =
            shell(r#"echo '{"reason":"build-finished"}'; echo "error[E0425]" >&2; exit 101"#, None);
        assert!(ended.stdout.starts_with(CARGO_MESSAGE) && !ended.tail().contains(CARGO_MESSAGE));
        assert!(!log.lines().any(|line| line.starts_with(CARGO_MESSAGE)), "{log}");
        assert!(ended.tail().contains("E0425") && log.contains("E0425"));
    }

    #[test]
    fn a_child_that_hangs_is_cut_off_and_no_success() {
        // It may not have begun before a short limit.
        for limit in [200, 2_000, 20_000].map(Duration::from_millis) {
            let (ended, log) = shell("echo begun; exec sleep 600", Some(limit));
            assert!(ended.status.is_none() && !ended.is_success() && ended.seconds < 300.0);
            assert!(log.contains("# cut off"), "{log}");
            if ended.stdout == "begun\n" {
                return;
            }
        }
        panic!("what it printed is lost");
    }
}
