//! The clock that libssl dates by, also where it is shifted for the whole process.

use std::path::Path;
use std::process::Command;

const LIBFAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// Tests that resume, run again in a process of which the clock is three days ahead or behind.
#[test]
fn sessions_resume_under_a_shifted_clock() {
    if !Path::new(LIBFAKETIME).exists() {
        return eprintln!("SKIPPED: needs {LIBFAKETIME} (Debian: libfaketime)");
    }
    for shift in ["+3d", "-3d"] {
        for test in [
            "tls12::a_session_is_resumed_again_and_again",
            "tls13::each_ticket_is_resumed_and_gone",
        ] {
            let output = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", test])
                .env("LD_PRELOAD", LIBFAKETIME)
                .env("FAKETIME", shift)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(
                output.status.success() && said.contains("1 passed"),
                "{shift}, {test}: {said}"
            );
        }
    }
}
