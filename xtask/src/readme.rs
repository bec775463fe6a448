//! The commands that the README shows, run as shown.

use crate::command::{self, cargo};
use anyhow::Result;

/// The README's first command. Its second is `cargo xtask test`, its third `cargo xtask loom`.
pub(crate) fn run() -> Result<()> {
    command::run(&mut cargo(&["run", "--release", "-p", "handshakes", "--", "--seconds", "6"]))
}
