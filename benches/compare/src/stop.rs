//! Ctrl-C and SIGTERM: what was measured until then is shown and written. The second one ends the
//! process at once.

use anyhow::{Context, Result};
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};

/// As a shell reports a process that a SIGINT has ended.
const INTERRUPTED: i32 = 130;

static IS_ASKED: AtomicBool = AtomicBool::new(false);

/// From now on, a signal asks for the end.
pub(crate) fn listen() -> Result<()> {
    ctrlc::set_handler(|| {
        // ORDERING: Relaxed: a flag that publishes nothing, here and below.
        if IS_ASKED.swap(true, Ordering::Relaxed) {
            exit(INTERRUPTED);
        }
    })
    .context("cannot listen for Ctrl-C")
}

/// Whether somebody wants to see what there is so far.
pub(crate) fn is_asked() -> bool {
    IS_ASKED.load(Ordering::Relaxed)
}
