//! Progress of a part on standard error: a bar on a terminal, plain lines elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The progress of one part.
#[derive(Debug)]
pub(crate) struct Progress {
    part: &'static str,
    bar: Option<ProgressBar>,
    done: AtomicUsize,
    total: AtomicUsize,
}

impl Progress {
    /// Nothing done yet, of an unknown number of steps.
    pub(crate) fn new(part: &'static str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner().with_prefix(part);
            bar.set_style(style("{spinner} {prefix:>10} {elapsed} {wide_msg}"));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { part, bar, done: AtomicUsize::new(0), total: AtomicUsize::new(0) }
    }

    /// What goes on now.
    pub(crate) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None => eprintln!("{}: {text}", self.part),
        }
    }

    /// `total` steps follow.
    pub(crate) fn expect(&self, total: usize) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.set_style(style(
                "{spinner} {prefix:>10} {elapsed} {pos}/{len} [{bar:24}] {wide_msg}",
            ));
            bar.set_length(total as u64);
            bar.set_position(0);
        }
    }

    /// One more step is done.
    pub(crate) fn step(&self, text: &str) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        match &self.bar {
            Some(bar) => {
                bar.set_message(text.to_owned());
                bar.inc(1);
            }
            None => {
                eprintln!("{}: {done}/{} {text}", self.part, self.total.load(Ordering::Relaxed))
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
