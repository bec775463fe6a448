//! The Redis or Valkey server behind all nodes: one that is there, or one of this program's own.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use redis::{Client, Commands, Connection, ConnectionAddr};

use super::relay::Relay;

/// How long a server may take until it answers, on a machine that others keep busy. A port on which
/// nobody listens is refused at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// The value of `--tier` that has a server started.
const START: &str = "start";

pub(crate) struct TierServer {
    url: String,
    client: Client,
    own: Option<Process>,
}

impl TierServer {
    /// The server at an address, or one that is started on a free port. Either answers.
    pub(crate) fn prepare(value: &str) -> Result<Self> {
        if value != START {
            let client = Client::open(value);
            let client = client.with_context(|| format!("--tier {value} is no address"))?;
            let server = Self { url: value.to_owned(), client, own: None };
            return server.connection().map(|_| server);
        }
        let end = Instant::now() + PATIENCE;
        let mut own = Process::start()?;
        loop {
            let url = own.url();
            let server = Self { client: Client::open(url.as_str())?, url, own: Some(own) };
            let Err(error) = server.own_connection() else { return Ok(server) };
            ensure!(Instant::now() < end, error);
            std::thread::sleep(Duration::from_millis(10));
            own = server.own.context("it is one of ours")?;
            if own.child.try_wait()?.is_some() {
                // Somebody else has got the port meanwhile.
                own = Process::start()?;
            }
        }
    }

    /// Where it is, without what a password would be in.
    pub(crate) fn name(&self) -> String {
        self.client.get_connection_info().addr().to_string()
    }

    fn connection(&self) -> Result<Connection> {
        let connection = self.client.get_connection_with_timeout(PATIENCE);
        let mut connection =
            connection.with_context(|| format!("--tier: cannot reach {}", self.name()))?;
        let answer: String = redis::cmd("PING").query(&mut connection)?;
        ensure!(answer == "PONG", "--tier: {} is no Redis", self.name());
        Ok(connection)
    }

    /// A connection to the process that was started, and not to another one that has its port.
    fn own_connection(&self) -> Result<Connection> {
        let mut connection = self.connection()?;
        let pid = self.own.as_ref().context("it is one of ours")?.child.id();
        let info: String = redis::cmd("INFO").arg("server").query(&mut connection)?;
        let is_own = info.lines().any(|line| line == format!("process_id:{pid}"));
        ensure!(is_own, "--tier start: {} is another server", self.name());
        Ok(connection)
    }

    /// The way to the server that nodes take.
    pub(crate) fn way(&self) -> Way {
        Way { url: self.url.clone(), hold: Hold::Never }
    }

    /// A way that can be paused: to another process of our own, or through a relay. `None` to a
    /// server that is neither ours nor reached by plain TCP.
    pub(crate) async fn way_to_pause(&self) -> Result<Option<Way>> {
        if self.own.is_some() {
            let Self { url, own: Some(process), .. } = Self::prepare(START)? else {
                return Ok(None);
            };
            return Ok(Some(Way { url, hold: Hold::Process(process) }));
        }
        let ConnectionAddr::Tcp(host, port) = self.client.get_connection_info().addr() else {
            return Ok(None);
        };
        let relay = Relay::start((host.clone(), *port)).await?;
        let address = relay.address.to_string();
        let url = self.url.replacen(&format!("{host}:{port}"), &address, 1);
        ensure!(url.contains(&address), "--tier: write the address as host:port, with the port");
        Ok(Some(Way { url, hold: Hold::Relay(relay) }))
    }

    /// Deletes what nodes wrote under a prefix.
    pub(crate) fn forget(&self, prefix: &str) -> Result<()> {
        let mut connection = self.connection()?;
        let names = connection.scan_match::<_, Vec<u8>>(format!("{prefix}*"))?;
        let names: Vec<_> = names.collect::<Result<_, _>>()?;
        for some in names.chunks(1000) {
            connection.unlink::<_, ()>(some)?;
        }
        Ok(())
    }
}

/// How nodes reach the server, and what makes it cease to answer.
pub(crate) struct Way {
    pub(crate) url: String,
    hold: Hold,
}

enum Hold {
    Never,
    Process(Process),
    Relay(Relay),
}

impl Way {
    /// From now on, what is sent is taken and not answered.
    pub(crate) fn pause(&self) -> Result<()> {
        match &self.hold {
            Hold::Never => bail!("this way is not one to pause"),
            Hold::Process(process) => process.stop(),
            Hold::Relay(relay) => {
                relay.hold();
                Ok(())
            }
        }
    }
}

/// A server on loopback, without persistence, which is killed when this is dropped.
struct Process {
    child: Child,
    port: u16,
}

impl Process {
    fn start() -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        for program in ["redis-server", "valkey-server"] {
            let child = Command::new(program)
                .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
                .args(["--save", "", "--appendonly", "no"])
                .stdout(Stdio::null())
                .spawn();
            match child {
                Ok(child) => return Ok(Self { child, port }),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error).context(format!("cannot start {program}")),
            }
        }
        bail!("--tier start: neither redis-server nor valkey-server is installed")
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    fn stop(&self) -> Result<()> {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", "STOP", &pid]).status().context("kill")?;
        ensure!(status.success(), "cannot stop the server");
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
