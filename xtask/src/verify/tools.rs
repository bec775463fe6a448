//! The tools that some parts need and not every machine has.

use crate::command::{nightly, root};
use std::process::{Command, Stdio};

/// The nightly compiler.
pub(crate) fn has_nightly() -> bool {
    answers(nightly("rustc").arg("--version"))
}

/// cargo-fuzz, for the nightly compiler.
pub(crate) fn has_cargo_fuzz() -> bool {
    answers(nightly("cargo").args(["fuzz", "--version"]))
}

/// The Miri component of the nightly compiler.
pub(crate) fn has_miri() -> bool {
    answers(nightly("cargo").args(["miri", "--version"]))
}

/// valgrind.
pub(crate) fn has_valgrind() -> bool {
    answers(Command::new("valgrind").arg("--version"))
}

fn answers(command: &mut Command) -> bool {
    let quiet = command
        .current_dir(root())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}
