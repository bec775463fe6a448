//! Ctrl-C: a comparison shows what it has so far, a server its statistics.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// The program, once it has said what it is about to do.
fn start(arguments: &[&str]) -> (Child, BufReader<ChildStdout>, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_handshakes"));
    program.args(arguments).current_dir(env!("CARGO_TARGET_TMPDIR")).stdout(Stdio::piped());
    let mut program = program.spawn().unwrap();
    let mut output = BufReader::new(program.stdout.take().unwrap());
    let mut first = String::new();
    output.read_line(&mut first).unwrap();
    (program, output, first)
}

/// What the program says after Ctrl-C.
fn interrupt(mut program: Child, mut output: BufReader<ChildStdout>) -> String {
    let sent = Command::new("kill").args(["-INT", &program.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert!(program.wait().unwrap().success());
    rest
}

/// What a comparison, whose first run would take an hour, says when Ctrl-C comes during that run:
/// then it shows a row that begins like this one. It comes later and later until it did.
fn interrupted(arguments: &[&str], head: &str, row: &str) -> String {
    let mut pause = Duration::from_millis(1500);
    loop {
        let (program, output, first) = start(arguments);
        assert!(first.starts_with(head), "{first}");
        std::thread::sleep(pause);
        let rest = interrupt(program, output);
        assert!(rest.contains("Stopped: the last run is shorter"), "{rest}");
        if rest.lines().any(|line| line.starts_with(row)) {
            return rest;
        }
        assert!(pause < Duration::from_secs(40), "not even after {pause:?}: {rest}");
        pause *= 2;
    }
}

#[test]
fn a_comparison_shows_what_it_has_so_far() {
    let arguments = ["--seconds", "3600", "--capacity", "64"];
    let rest = interrupted(&arguments, "A TLS server and its clients", "sessile    1.2");
    assert!(!rest.contains("moka       1.2"), "it did not come to that: {rest}");
}

#[test]
fn a_fleet_shows_what_it_has_so_far() {
    let arguments = ["--nodes", "2", "--seconds", "3600", "--capacity", "64", "--tls", "1.3"];
    interrupted(&arguments, "2 server processes", "one node        1 1.3");
}

#[test]
fn a_server_listens_on_a_name_and_shows_its_statistics() {
    let (program, output, first) = start(&["--serve", "localhost:0"]);
    assert!(first.starts_with("listening on ") && !first.contains(":0,"), "{first}");
    assert!(interrupt(program, output).starts_with("sessile: capacity 20480"));
}
