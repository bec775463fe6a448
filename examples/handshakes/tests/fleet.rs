//! Several server processes: what they resume of each other, with and without a second tier.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::free_port;

fn handshakes(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_handshakes")).args(arguments).output().unwrap()
}

/// Two nodes with what `--tier` names, one protocol version, for a second each: the document.
fn small_run(name: &str, tier: &[&str], tls: &str) -> Value {
    let [json, svg] = ["json", "svg"]
        .map(|end| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("fleet-{name}.{end}")));
    let (json, svg) = (json.to_str().unwrap(), svg.to_str().unwrap());
    let mut arguments = vec!["--nodes", "2", "--seconds", "1", "--clients", "80", "--tls", tls];
    // What a busy machine does not take.
    arguments.extend(["--tier-budget", "1000"]);
    arguments.extend(["--json", json, "--report", svg]);
    arguments.extend(tier);
    let output = handshakes(&arguments);
    let (table, message) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && message.is_empty(), "{message}");
    assert!(table.starts_with("2 server processes"), "said before it starts: {table}");
    assert!(table.contains("one node") && table.contains("no tier"), "{table}");
    let chart = std::fs::read_to_string(svg).unwrap();
    assert!(chart.starts_with("<svg") && chart.contains("2 nodes, no tier"), "{chart}");
    serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap()
}

fn ratio(run: &Value) -> f64 {
    run["resumed"].as_f64().unwrap() / run["handshakes"].as_f64().unwrap()
}

/// Asserts what holds for all runs of a document, and that the settings are these. The runs.
fn checked<const SETTINGS: usize>(document: &Value, settings: [&str; SETTINGS]) -> Vec<Value> {
    assert_eq!(document["nodes"], 2);
    let runs = document["runs"].as_array().unwrap();
    let names: Vec<_> = runs.iter().map(|run| run["setting"].as_str().unwrap()).collect();
    assert_eq!(names, settings);
    for run in runs {
        let count = |field: &str| run[field].as_u64().unwrap();
        assert_eq!(count("failed"), 0, "{run}");
        assert_eq!(count("full") + count("resumed"), count("handshakes"), "{run}");
        assert_eq!(run["handshakes"], runs[0]["handshakes"], "the same schedule");
        assert_eq!(run["cache"]["hits"], run["resumed"], "each hit is a resumption: {run}");
        assert_eq!(run["nodes"], if run["setting"] == "one-node" { 1 } else { 2 });
        assert!(count("resumed_elsewhere") <= count("elsewhere"));
    }
    assert!(runs[1]["elsewhere"].as_u64().unwrap() > 0);
    assert_eq!(runs[1]["resumed_elsewhere"], 0, "nobody knows the other's sessions");
    assert!(ratio(&runs[1]) < ratio(&runs[0]) * 0.7, "{document}");
    runs.clone()
}

/// Asserts what a tier brings, and what one that does not answer does not cost. A machine that is
/// so busy that answers come after the budget is tried again.
fn check_with_tier(run: impl Fn() -> Value) {
    let tried = std::iter::repeat_with(|| {
        let document = run();
        let runs = checked(&document, ["one-node", "no-tier", "tier", "tier-paused"]);
        (document, runs)
    });
    let brings_what_it_should =
        |(_, runs): &(Value, Vec<Value>)| ratio(&runs[2]) > ratio(&runs[0]) * 0.8;
    let (document, runs) =
        tried.take(3).find(brings_what_it_should).expect("the tier brings too little");
    assert!(runs[2]["resumed_elsewhere"].as_u64().unwrap() > 0);
    let tier = |run: &Value, field: &str| run["tier_figures"][field].as_u64().unwrap();
    assert!(tier(&runs[2], "found") > 0 && tier(&runs[2], "written") > 0);
    assert_eq!(tier(&runs[3], "found"), 0);
    assert_eq!(ratio(&runs[3]), ratio(&runs[1]), "each node resumes its own, as without a tier");
    // Callers of the first moment wait, and nobody after them.
    assert!(tier(&runs[3], "asked") <= 2 * 8 * 2, "{document}");
}

fn is_there(program: &str) -> bool {
    let version = Command::new(program).arg("--version").stdout(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// A server of the test's own.
struct Server(Child, u16);

impl Server {
    fn start() -> Self {
        let end = Instant::now() + Duration::from_secs(60);
        let mut server = Self::spawn();
        while !server.answers() {
            assert!(Instant::now() < end, "the server does not answer");
            std::thread::sleep(Duration::from_millis(10));
            if server.0.try_wait().unwrap().is_some() {
                // Somebody else has got the port meanwhile.
                server = Self::spawn();
            }
        }
        server
    }

    fn spawn() -> Self {
        let port = free_port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child, port)
    }

    /// Whether it is this process that answers at the port.
    fn answers(&self) -> bool {
        let connection = self.client().get_connection_with_timeout(Duration::from_secs(1));
        let info =
            |mut one: redis::Connection| redis::cmd("INFO").arg("server").query::<String>(&mut one);
        let process = format!("process_id:{}", self.0.id());
        connection.and_then(info).is_ok_and(|info| info.lines().any(|line| line == process))
    }

    fn client(&self) -> redis::Client {
        redis::Client::open(self.url()).unwrap()
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.1)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn nodes_without_a_tier_resume_their_own_sessions_only() {
    let document = small_run("none", &[], "1.3");
    assert_eq!(document["tier"], Value::Null);
    checked(&document, ["one-node", "no-tier"]);
}

#[test]
fn a_server_of_the_programs_own_is_a_tier() {
    if !is_there("redis-server") {
        return eprintln!("skipped: redis-server is not installed");
    }
    check_with_tier(|| small_run("start", &["--tier", "start"], "1.2"));
}

#[test]
fn a_server_that_is_there_is_a_tier_and_is_left_as_it_was() {
    if !is_there("redis-server") {
        return eprintln!("skipped: redis-server is not installed");
    }
    let server = Server::start();
    let mut connection = server.client().get_connection().unwrap();
    redis::cmd("SET").arg("not ours").arg(1).exec(&mut connection).unwrap();
    check_with_tier(|| {
        let document = small_run("url", &["--tier", &server.url()], "1.3");
        assert_eq!(document["tier"], format!("127.0.0.1:{}", server.1));
        document
    });
    let left: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
    assert_eq!(left, ["not ours"]);
}

#[test]
fn what_makes_no_sense_is_refused_in_one_line() {
    for (arguments, what) in [
        (&["--nodes", "1"][..], "--nodes"),
        (&["--tier", "start"], "--nodes"),
        (&["--nodes", "2", "--store", "moka"], "--store"),
        (&["--nodes", "2", "--serve", "127.0.0.1:0"], "--serve"),
        (&["--nodes", "2", "--tier", "nowhere"], "--tier nowhere"),
        (&["--nodes", "2", "--tier", "redis://127.0.0.1:1/"], "cannot reach 127.0.0.1:1"),
        (&["--node", "--nodes", "2"], "--node"),
    ] {
        let output = handshakes(arguments);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert_eq!(message.lines().count(), 1, "{arguments:?}: {message}");
        assert!(message.contains(what), "{arguments:?}: {message}");
    }
}
