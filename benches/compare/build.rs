//! Remembers what the figures are made with.

use std::process::Command;

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()?.lines().next().map(str::to_owned)
}

fn main() {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let version = first_line(&rustc, &["--version"]).unwrap_or_else(|| "an unknown rustc".into());
    let commit =
        first_line("git", &["describe", "--always", "--dirty"]).unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env=COMPARE_RUSTC={version}");
    println!("cargo::rustc-env=COMPARE_COMMIT={commit}");
    println!("cargo::rerun-if-changed=../../.git/HEAD");
    println!("cargo::rerun-if-changed=../../src");
}
