//! Ctrl-C: a run shows and writes what it has measured so far.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

#[test]
fn a_run_writes_what_it_has_so_far() {
    let json = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interrupted.json");
    let _ = std::fs::remove_file(&json);
    let mut run = Command::new(env!("CARGO_BIN_EXE_compare"))
        .args(["--quick", "--peers", "none", "--entries", "1024,4096", "--json"])
        .arg(&json)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(run.stdout.take().unwrap());
    let mut shown = String::new();
    // Until the first table begins.
    while !shown.contains("sessile") {
        assert!(output.read_line(&mut shown).unwrap() > 0, "it ended: {shown}");
    }
    let sent = Command::new("kill").args(["-s", "INT", &run.id().to_string()]).status().unwrap();
    assert!(sent.success());
    output.read_to_string(&mut shown).unwrap();
    assert!(run.wait().unwrap().success(), "{shown}");
    assert!(shown.contains("Stopped: tables are missing"), "{shown}");
    let rows: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let rows = rows.as_array().unwrap();
    let is_of = |entries: u64| rows.iter().any(|row| row["entries"] == entries);
    assert!(is_of(1024) && !is_of(4096), "it did not come to that: {rows:?}");
    // The harness alone may take less than the clock can tell.
    let has_time = |row: &Value| {
        row["ns_per_op"].as_f64().is_some_and(|nanos| nanos > 0.0 || row["peer"] == "harness")
    };
    assert!(rows.iter().all(has_time), "{rows:?}");
}
