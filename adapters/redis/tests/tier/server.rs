//! A real server of each test's own, on loopback, without persistence.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use redis::{Client, Connection};
use testkit::free_port;

use crate::node::SOON;

/// A `redis-server` (or `valkey-server`), which is killed when this is dropped.
pub(crate) struct Server {
    program: &'static str,
    port: u16,
    options: Vec<String>,
    child: Child,
}

impl Server {
    /// `None`, and a line that says so, where no server is installed.
    pub(crate) fn start(options: &[&str]) -> Option<Self> {
        Self::start_with(options.iter().map(|option| (*option).to_owned()).collect())
    }

    pub(crate) fn start_with(options: Vec<String>) -> Option<Self> {
        let programs = ["redis-server", "valkey-server"];
        let Some(program) = programs.into_iter().find(|program| is_there(program)) else {
            eprintln!("skipped: redis-server is not installed");
            return None;
        };
        for _ in 0..10 {
            let port = free_port();
            let child = spawn(program, port, &options);
            let mut server = Self { program, port, options: options.clone(), child };
            if server.comes_up() {
                return Some(server);
            }
        }
        panic!("{program} ends at once, on each of ten ports");
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn address(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// A connection of the test's own.
    pub(crate) fn connection(&self) -> Connection {
        Client::open(self.address()).unwrap().get_connection().unwrap()
    }

    /// Waits until it answers; false if it has ended, as where somebody else has got its port.
    fn comes_up(&mut self) -> bool {
        let end = Instant::now() + SOON;
        let client = Client::open(self.address()).unwrap();
        let process = format!("process_id:{}", self.child.id());
        // Another one may have the port.
        let answers = || {
            let connection = client.get_connection_with_timeout(Duration::from_secs(1));
            let info =
                |mut one: Connection| redis::cmd("INFO").arg("server").query::<String>(&mut one);
            connection.and_then(info).is_ok_and(|info| info.lines().any(|line| line == process))
        };
        while !answers() {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(Instant::now() < end, "the server does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        true
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn restart(&mut self) {
        self.child = spawn(self.program, self.port, &self.options);
        assert!(self.comes_up(), "the server ends at once");
    }

    /// Sends a signal: `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// All names and values.
    pub(crate) fn contents(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut connection = self.connection();
        let names: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
        if names.is_empty() {
            return Vec::new();
        }
        let values: Vec<Option<Vec<u8>>> =
            redis::cmd("MGET").arg(&names).query(&mut connection).unwrap();
        let pair = |(name, value): (_, Option<_>)| Some((name, value?));
        names.into_iter().zip(values).filter_map(pair).collect()
    }

    pub(crate) fn len(&self) -> usize {
        redis::cmd("DBSIZE").query(&mut self.connection()).unwrap()
    }

    /// How often a command was carried out.
    pub(crate) fn calls(&self, command: &str) -> u64 {
        let stats: String =
            redis::cmd("INFO").arg("commandstats").query(&mut self.connection()).unwrap();
        let head = format!("cmdstat_{command}:calls=");
        let of = |line: &str| line.strip_prefix(&head)?.split(',').next()?.parse().ok();
        stats.lines().find_map(of).unwrap_or(0)
    }
}

/// Whether a program is installed.
pub(crate) fn is_there(program: &str) -> bool {
    let version = Command::new(program).arg("--version").stdout(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

fn spawn(program: &str, port: u16, options: &[String]) -> Child {
    let port = port.to_string();
    let own = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
    Command::new(program)
        .args(own)
        .args(options)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Stops the server, lets it go on, empties and kills it, until the test is over.
pub(crate) fn fail_for_ever(server: &mut Server, is_over: &AtomicBool) {
    let pause = || std::thread::sleep(Duration::from_millis(150));
    while !is_over.load(Ordering::Relaxed) {
        pause();
        server.signal("STOP");
        pause();
        server.signal("CONT");
        pause();
        redis::cmd("FLUSHALL").exec(&mut server.connection()).unwrap();
        server.kill();
        pause();
        server.restart();
    }
}
