//! Runs the program.

use std::process::Command;

#[test]
fn it_says_what_became_of_each_session() {
    let output = Command::new(env!("CARGO_BIN_EXE_payload")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let expected = "read: Some(\"ada\")\nada left: Taken\ntake: Some(\"ada\")\ntake again: None\n\
                    in no context: None\ngrace left: Removed\ngrace left: Removed\n\
                    grace logged out of 2 sessions\n0 sessions, Some(0) bytes of Some(16777216)\n";
    assert!(said.starts_with(expected), "{said}");
}
