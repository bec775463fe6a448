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

/// The first run would take an hour.
#[test]
fn a_comparison_shows_what_it_has_so_far() {
    let (program, output, first) = start(&["--seconds", "3600", "--capacity", "64"]);
    assert!(first.starts_with("A TLS server and its clients"), "{first}");
    std::thread::sleep(Duration::from_secs(3));
    let rest = interrupt(program, output);
    assert!(rest.contains("Stopped: the last run is shorter"), "{rest}");
    assert!(rest.lines().any(|line| line.starts_with("sessile    1.2")), "{rest}");
    assert!(!rest.contains("moka       1.2"), "it did not come to that: {rest}");
}

#[test]
fn a_fleet_shows_what_it_has_so_far() {
    let arguments = ["--nodes", "2", "--seconds", "3600", "--capacity", "64", "--tls", "1.3"];
    let (program, output, first) = start(&arguments);
    assert!(first.starts_with("2 server processes"), "{first}");
    std::thread::sleep(Duration::from_secs(3));
    let rest = interrupt(program, output);
    assert!(rest.contains("Stopped: the last run is shorter"), "{rest}");
    assert!(rest.lines().any(|line| line.starts_with("one node        1 1.3")), "{rest}");
}

#[test]
fn a_server_listens_on_a_name_and_shows_its_statistics() {
    let (program, output, first) = start(&["--serve", "localhost:0"]);
    assert!(first.starts_with("listening on ") && !first.contains(":0,"), "{first}");
    assert!(interrupt(program, output).starts_with("sessile: capacity 20480"));
}
