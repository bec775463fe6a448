//! Bytes per session, with the session and without.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

const ENTRIES: u64 = 20_480;
/// The payload and the id: what every store has to keep.
const LEAST: f64 = 232.0;

#[test]
fn a_session_weighs_what_is_in_it_and_what_is_beside_it() {
    let json = Path::new(env!("CARGO_TARGET_TMPDIR")).join("memory.json");
    let output = Command::new(env!("CARGO_BIN_EXE_compare"))
        .args(["--quick", "--workload", "miss", "--threads", "1", "--values", "session,arc"])
        .args(["--peers", "rwlock-hashbrown,rustls-g3", "--entries", &ENTRIES.to_string()])
        .arg("--json")
        .arg(&json)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<Value> = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let bytes = |values: &str, peer: &str, which: &str| {
        let is_it = |row: &&Value| {
            row["peer"] == peer && row["values"].as_str().is_some_and(|all| all.contains(values))
        };
        rows.iter().find(is_it).and_then(|row| row[which].as_f64())
    };
    for values in ["Sessile's sessions", "Arcs of their own"] {
        for peer in ["sessile", "rwlock-hashbrown", "rustls-g3"] {
            let whole = bytes(values, peer, "bytes_with_session").unwrap();
            let beside = bytes(values, peer, "bytes_per_entry").unwrap();
            assert!(whole > beside + LEAST && whole < 3.0 * LEAST, "{peer}: {whole}, {beside}");
        }
        assert_eq!(bytes(values, "harness", "bytes_with_session"), None, "it stores nothing");
    }
    // Five lines for a block, 13.5 bytes of the table, and little that its allocator makes of it.
    let pages = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    if pages.is_ok_and(|pages| !pages.contains("[always]")) {
        let whole = bytes("Sessile's", "sessile", "bytes_with_session").unwrap();
        assert!(whole < 320.0 + 13.5 + 7.0, "{whole}");
    }
    // Whole lines for a block with its head, key and dates, and no less.
    let arc = bytes("Arcs", "rwlock-hashbrown", "bytes_with_session").unwrap();
    let session = bytes("Sessile's", "rwlock-hashbrown", "bytes_with_session").unwrap();
    assert!(session > arc, "{session} against {arc}");
}
