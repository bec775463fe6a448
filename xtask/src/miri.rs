//! Miri, where it is.

use crate::command::{self, cargo};
use anyhow::Result;
use std::process::Stdio;

/// Runs the unit tests under Miri, or says that the component is missing.
///
/// crossbeam-epoch 0.9 keeps pointers in integers, so provenance is permissive and its global queue counts as a leak.
pub(crate) fn run() -> Result<()> {
    let mut probe = cargo(&["+nightly", "miri", "--version"]);
    let is_there =
        probe.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !is_there {
        println!("\nmiri: skipped, the component is not installed");
        return Ok(());
    }
    let mut test = cargo(&["+nightly", "miri", "test", "--package", "sessile", "--lib"]);
    let flags =
        "-Zmiri-permissive-provenance -Zmiri-disable-isolation -Zmiri-ignore-leaks -Zmiri-tree-borrows";
    command::run(test.env("MIRIFLAGS", flags))
}
