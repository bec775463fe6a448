//! Servers on loopback ports of their own, and `openssl s_client` to visit them.

use std::collections::HashMap;
use std::env::consts::DLL_SUFFIX;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use wait_timeout::ChildExt;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];

/// Whether a program is there; if not, that is said.
pub(crate) fn is_there(program: &str) -> bool {
    let found = Command::new(program).arg("-v").stdin(Stdio::null()).output().is_ok();
    if !found {
        println!("skipped: no {program}");
    }
    found
}

/// The library, which cargo puts beside its tests.
pub(crate) fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().join(format!("libsessile_preload{DLL_SUFFIX}"))
}

/// A folder with a certificate and its key.
pub(crate) struct Site(TempDir);

impl Site {
    pub(crate) fn new() -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        openssl.args(["-nodes", "-subj", "/CN=localhost", "-keyout", "key.pem"]);
        let made = openssl.args(["-out", "cert.pem"]).current_dir(site.path()).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let [key, certificate] = ["key.pem", "cert.pem"].map(|name| fs::read(site.file(name)));
        site.write("both.pem", &[key.unwrap(), certificate.unwrap()].concat());
        site
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, name: &str, contents: &[u8]) -> String {
        let path = self.file(name);
        fs::write(&path, contents).unwrap();
        path
    }

    /// Preloads the library in a program, with statistics in a file of this folder.
    pub(crate) fn preload<'c>(&self, command: &'c mut Command, attach: &str) -> &'c mut Command {
        command.env("LD_PRELOAD", library()).env("SESSILE_ATTACH", attach);
        command.env("SESSILE_STATS", self.path().join("statistics"))
    }

    /// What the last process left in the statistics; what is not there was 0.
    pub(crate) fn statistics(&self) -> HashMap<String, u64> {
        self.all_statistics().pop().expect("the process left statistics")
    }

    /// What all processes left, in the order in which they ended.
    pub(crate) fn all_statistics(&self) -> Vec<HashMap<String, u64>> {
        let text = fs::read_to_string(self.path().join("statistics")).unwrap_or_default();
        let counts_of = |line: &str| {
            let words = line.strip_prefix("sessile: ").unwrap().split(' ');
            let pairs = words.map(|word| word.split_once('=').unwrap());
            pairs.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
        };
        text.lines().map(counts_of).collect()
    }

    /// One request of `openssl s_client`; what it printed.
    pub(crate) fn visit(&self, port: u16, arguments: &[&str]) -> String {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-ign_eof", "-connect", &format!("127.0.0.1:{port}")]);
        client.args(arguments).current_dir(self.path());
        let output = talk(&mut client, b"GET / HTTP/1.0\r\n\r\n");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A visit, and a second one that offers what the first was given: it must be resumed.
    pub(crate) fn resumes(&self, port: u16, version: &str) {
        self.try_to_resume(port, version).unwrap();
    }

    /// As [`resumes`](Self::resumes); what the client said if it was not.
    pub(crate) fn try_to_resume(&self, port: u16, version: &str) -> Result<(), String> {
        let first = self.visit(port, &[version, "-sess_out", "session.pem"]);
        assert!(first.contains("\nNew, "), "{version}: no handshake: {first}");
        let second = self.visit(port, &[version, "-sess_in", "session.pem"]);
        let is_resumed = second.contains("\nReused, ");
        is_resumed.then_some(()).ok_or_else(|| format!("{version}: not resumed: {second}"))
    }
}

/// Runs a program to its end with an input.
pub(crate) fn talk(command: &mut Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program may end before it has read all.
    let _ = child.stdin.take().unwrap().write_all(input);
    // It may print more than a pipe holds.
    let stdout = read_aside(child.stdout.take().unwrap());
    let stderr = read_aside(child.stderr.take().unwrap());
    match child.wait_timeout(PATIENCE).unwrap() {
        Some(status) => {
            Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
        }
        None => {
            child.kill().unwrap();
            panic!("{command:?} does not end");
        }
    }
}

fn read_aside(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// A server that is killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
}

impl Server {
    /// Starts a program and waits until it listens; `None` if it ended by itself.
    pub(crate) fn start(command: &mut Command, port: u16) -> Option<Self> {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut server = Self { child, port };
        let started = Instant::now();
        while !is_listening(port) {
            if let Some(status) = server.child.try_wait().unwrap() {
                println!("{command:?} ended: {status}");
                return None;
            }
            assert!(started.elapsed() < PATIENCE, "{command:?} does not listen on {port}");
            sleep(Duration::from_millis(20));
        }
        Some(server)
    }

    /// Asks it to end, by a signal or by the end of its input, and waits; what it printed.
    pub(crate) fn end(mut self, signal: Option<&str>) -> String {
        if let Some(signal) = signal {
            let pid = self.child.id().to_string();
            assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        }
        self.wait();
        read(self.child.stdout.take().unwrap())
    }

    /// Waits for a server that ends by itself, or with its input; what it said of errors.
    pub(crate) fn end_with_errors(mut self) -> String {
        self.wait();
        read(self.child.stderr.take().unwrap())
    }

    fn wait(&mut self) {
        drop(self.child.stdin.take());
        let ended = self.child.wait_timeout(PATIENCE).unwrap();
        assert!(ended.is_some(), "the server does not end");
    }
}

fn read(mut from: impl Read) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).unwrap();
    text
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether somebody listens on a port. Asks the system, since a connection would be one to the
/// server, which may count them.
fn is_listening(port: u16) -> bool {
    let Ok(table) = fs::read_to_string("/proc/net/tcp") else {
        return TcpStream::connect(("127.0.0.1", port)).is_ok();
    };
    const LISTEN: &str = "0A";
    let local = format!(":{port:04X}");
    let six = fs::read_to_string("/proc/net/tcp6").unwrap_or_default();
    table.lines().chain(six.lines()).any(|line| {
        let mut words = line.split_whitespace().skip(1);
        words.next().is_some_and(|address| address.ends_with(&local))
            && words.nth(1) == Some(LISTEN)
    })
}
