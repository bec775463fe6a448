//! The server under test, and how clients are run.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

/// The server's TLS libraries.
pub(crate) const BACKENDS: &[&str] =
    if cfg!(feature = "openssl") { &["rustls", "openssl"] } else { &["rustls"] };

/// What a client does with a session it was given, and whether that is resumed then:
/// `(path asked for with the session's first connection, whether the other server is gone to,
/// resumed)`.
pub(crate) const CASES: [(&str, bool, bool); 5] = [
    ("/", false, true),
    ("/replace", false, true),
    ("/forget", false, false),
    ("/expire", false, false),
    ("/", true, false),
];

/// A server, and another one of another context with the same store; stopped when dropped.
pub(crate) struct Server {
    process: Child,
    output: BufReader<ChildStdout>,
    pub(crate) address: String,
    pub(crate) other: String,
}

impl Server {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_handshakes"))
            .args(["--serve", "127.0.0.1:0", "--other", "127.0.0.1:0"])
            .args(arguments)
            // libssl stores a session after the client has the last message of its handshake:
            // another thread could look for it before.
            .env("TOKIO_WORKER_THREADS", "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let addresses = line.strip_prefix("listening on ").and_then(|rest| rest.split(',').next());
        let addresses = addresses.and_then(|both| both.split_once(" and "));
        let (address, other) = addresses.unwrap_or_else(|| panic!("{line}"));
        let (address, other) = (address.to_owned(), other.to_owned());
        Self { process, output, address, other }
    }

    /// Interrupts the server as Ctrl-C would; answers the statistics it printed.
    pub(crate) fn stop(mut self) -> String {
        let interrupt =
            Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
        assert!(interrupt.unwrap().success());
        let mut statistics = String::new();
        self.output.read_to_string(&mut statistics).unwrap();
        assert!(self.process.wait().unwrap().success());
        statistics
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs a client with `input`; its output, or `None` with a message where it is not installed.
pub(crate) fn client(program: &str, arguments: &[&str], input: &str) -> Option<String> {
    let spawned = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut process) = spawned else {
        eprintln!("skipped: {program} is not installed");
        return None;
    };
    // A client that is done before it read everything is as good.
    let _ = process.stdin.take().unwrap().write_all(input.as_bytes());
    let output = process.wait_with_output().unwrap();
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

pub(crate) fn scratch(name: &str) -> String {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name).to_str().unwrap().to_owned()
}

/// Lines that begin with `line`.
pub(crate) fn counted(text: &str, line: &str) -> usize {
    text.lines().filter(|candidate| candidate.starts_with(line)).count()
}
