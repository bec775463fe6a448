//! The command line: a small run with its JSON and chart, and what bad options are answered.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

fn handshakes(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_handshakes")).args(arguments).output().unwrap()
}

fn scratch(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Asserts that the options are refused with exit code 2 and one line that mentions `what`.
fn refused(arguments: &[&str], what: &str) {
    let output = handshakes(arguments);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
    assert_eq!(message.lines().count(), 1, "{arguments:?}: {message}");
    assert!(message.starts_with("error: ") && message.contains(what), "{arguments:?}: {message}");
    assert!(output.stdout.is_empty());
}

#[test]
fn bad_options_are_refused_in_one_line() {
    refused(&["--seconds", "0"], "--seconds");
    refused(&["--seconds", "soon"], "--seconds");
    refused(&["--seconds"], "--seconds");
    refused(&["--clients", "1"], "--clients");
    refused(&["--capacity", "0"], "--capacity");
    refused(&["--tls", "1.1"], "1.2, 1.3, both");
    refused(&["--store", "redis"], "sessile, rustls-256, rustls, moka");
    refused(&["--frobnicate"], "--frobnicate");
    refused(&["surplus"], "surplus");
    refused(&["--serve", "nowhere"], "--serve");
    refused(&["--serve", "127.0.0.1:0", "--json", "x.json"], "--json");
    refused(&["--serve", "127.0.0.1:0", "--empty"], "--empty");
    refused(&["--serve", "127.0.0.1:0", "--store", "all"], "--serve");
    refused(&["--backend", "gnutls"], "rustls, openssl");
    refused(&["--store", "libssl"], "--backend");
    refused(&["--backend", "openssl", "--store", "moka"], "--backend");
    refused(&["--other", "127.0.0.1:0"], "--serve");
}

#[test]
fn files_that_cannot_be_written_are_refused_before_the_run() {
    refused(&["--json", "/nonexistent/figures.json"], "/nonexistent/figures.json");
    refused(&["--report", "/nonexistent/chart.svg"], "/nonexistent/chart.svg");
    refused(&["--json", env!("CARGO_TARGET_TMPDIR")], "--json");
    let same = scratch("same");
    let same = same.to_str().unwrap();
    refused(&["--json", same, "--report", same], "same file");
}

#[test]
fn an_address_in_use_is_refused() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    refused(&["--serve", &taken.local_addr().unwrap().to_string()], "--serve");
}

#[test]
fn help_is_no_error() {
    let output = handshakes(&["--help"]);
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    for option in [
        "--seconds",
        "--clients",
        "--capacity",
        "--empty",
        "--backend",
        "--tls",
        "--store",
        "--nodes",
        "--tier",
        "--tier-budget",
        "--json",
        "--report",
        "--serve",
        "--other",
    ] {
        assert!(help.contains(option), "{help}");
    }
}

/// A small run of every store that a backend has; its table, and the document that it wrote.
fn small_run(backend: &str) -> (String, Vec<Value>) {
    let [json, svg] = ["json", "svg"].map(|end| scratch(&format!("figures-{backend}.{end}")));
    let output = handshakes(&[
        "--backend",
        backend,
        "--seconds",
        "1",
        "--clients",
        "200",
        "--capacity",
        "128",
        "--json",
        json.to_str().unwrap(),
        "--report",
        svg.to_str().unwrap(),
    ]);
    let (table, message) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{message}");
    assert!(message.is_empty(), "no progress bar without a terminal: {message}");
    assert!(table.starts_with("A TLS server and its clients"), "said before it starts: {table}");
    assert!(table.contains("sessile") && table.contains("p99.9"), "{table}");
    let chart = std::fs::read_to_string(svg).unwrap();
    assert!(
        chart.starts_with("<svg") && chart.contains("linear") && chart.contains("processors"),
        "{chart}"
    );
    let mut document: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let Value::Array(runs) = document["runs"].take() else { panic!("{document}") };
    (table.into_owned(), runs)
}

/// Asserts that the runs are of these stores, once for each version, and that each version's had
/// the same schedule.
fn assert_runs_of(runs: &[Value], stores: &[&str]) {
    let name = |run: &Value, field: &str| run[field].as_str().unwrap().to_owned();
    let names: Vec<_> = runs.iter().map(|run| (name(run, "store"), name(run, "tls"))).collect();
    let expected =
        |tls: &str| stores.iter().map(|store| ((*store).to_owned(), tls.to_owned())).collect();
    let expected: [Vec<_>; 2] = ["1.2", "1.3"].map(expected);
    assert_eq!(names, expected.concat());
    runs.iter().for_each(assert_plausible);
    for version in runs.chunks(stores.len()) {
        let handshakes = &version[0]["handshakes"];
        assert!(version.iter().all(|run| run["handshakes"] == *handshakes), "the same schedule");
    }
}

#[test]
fn a_small_run_writes_its_figures() {
    let (_, runs) = small_run("rustls");
    assert_runs_of(&runs, &["sessile", "rustls-256", "rustls", "moka"]);
    let sessile_and_moka =
        |version: &[Value]| [version[0]["resumed"].as_u64(), version[3]["resumed"].as_u64()];
    let [sessile, moka] = sessile_and_moka(&runs[4..]);
    assert!(sessile > moka, "a full moka loses TLS 1.3 tickets: {sessile:?}, {moka:?}");
}

#[test]
#[cfg(feature = "openssl")]
fn a_small_run_of_libssl_has_its_own_cache_beside_it() {
    let (table, runs) = small_run("openssl");
    assert_runs_of(&runs, &["sessile", "libssl"]);
    assert!(table.contains("on one thread alone"), "{table}");
    for run in &runs {
        assert!(run["store_ns_per_handshake_alone"].as_f64().unwrap() > 0.0);
        let [sessions, evicted] =
            ["sessions", "evicted"].map(|field| run["cache"][field].as_u64().unwrap());
        assert!(
            sessions <= 128 && (evicted == 0 || sessions > 120),
            "both hold what they may: {run}"
        );
    }
}

fn assert_plausible(run: &Value) {
    let count = |field: &str| run[field].as_u64().unwrap_or_else(|| panic!("{field} in {run}"));
    let figure = |field: &str| run[field].as_f64().unwrap_or_else(|| panic!("{field} in {run}"));
    let latency = |field: &str| {
        run["latency_us"][field].as_f64().unwrap_or_else(|| panic!("{field} in {run}"))
    };
    assert_eq!(count("failed"), 0);
    assert_eq!(count("full") + count("resumed"), count("handshakes"));
    assert!(count("full") > 0 && count("resumed") > 0);
    let rate = count("handshakes") as f64 / figure("seconds");
    assert!((figure("handshakes_per_second") - rate).abs() < 1.0);
    assert!(figure("store_ns_per_handshake") > 0.0);
    assert!(0.0 < latency("p50") && latency("p50") <= latency("p99"));
    assert!(latency("p99") <= latency("p999") && latency("p999") <= latency("max"));

    let cache = &run["cache"];
    let is_default = run["store"] == "rustls-256";
    assert_eq!(cache["capacity"], if is_default { 256 } else { 128 });
    assert_eq!(cache["refused"], 0);
    assert_eq!(cache["hits"], run["resumed"], "each hit is a resumption");
    if run["store"] == "sessile" {
        assert!(cache["sessions"].as_u64().unwrap() <= 128);
        // How many handshakes a second brings is the machine's affair; where they must have gone is
        // not.
        let of =
            |field: &str| cache[field].as_u64().unwrap_or_else(|| panic!("{field} in {cache}"));
        let went_or_is_there = of("evicted") + of("taken") + of("expired") + of("sessions");
        match of("puts").checked_sub(went_or_is_there) {
            // What filled it was no call of rustls.
            None => assert_eq!(went_or_is_there, of("puts") + 128),
            // What filled it was a connection of libssl, which took its own sessions with it.
            Some(removed) => assert!(removed <= 2, "{cache}"),
        }
        assert_eq!(cache["accepted"], cache["accepted_good"]);
    }
}
