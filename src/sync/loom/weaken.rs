//! Weakening the ordering of one operation, to see a model fail.
//!
//! An operation is named by its place: file, line and column of the method's name. The environment
//! variable `SESSILE_WEAKEN`, `src/raw/table.rs:44:28/0=Acquire`, replaces its first ordering
//! (`/1`: the ordering of failure) by another; with `SESSILE_SITES` set,
//! [`sites`](search::Search::sites) lists the places that were executed.

use crate::sync::search;
use std::panic::Location;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

struct Weakening {
    file: String,
    line: u32,
    column: u32,
    nth: usize,
    to: Ordering,
}

/// The orderings that the operation at `location` runs with.
pub(super) fn orderings<const N: usize>(
    location: &'static Location<'static>,
    operation: &str,
    mut orderings: [Ordering; N],
) -> [Ordering; N] {
    if records() {
        record(location, operation, &orderings);
    }
    if let Some(weakening) = weakening().filter(|weakening| weakening.is_at(location)) {
        orderings[weakening.nth] = weakening.to;
    }
    orderings
}

impl Weakening {
    fn is_at(&self, location: &Location<'_>) -> bool {
        (self.line, self.column) == (location.line(), location.column())
            && self.file == location.file()
    }
}

impl FromStr for Weakening {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "SESSILE_WEAKEN must read FILE:LINE:COLUMN/NTH=ORDERING";
        let (site, to) = text.split_once('=').ok_or(FORM)?;
        let (place, nth) = site.rsplit_once('/').ok_or(FORM)?;
        let (rest, column) = place.rsplit_once(':').ok_or(FORM)?;
        let (file, line) = rest.rsplit_once(':').ok_or(FORM)?;
        let to = match to {
            "Relaxed" => Ordering::Relaxed,
            "Acquire" => Ordering::Acquire,
            "Release" => Ordering::Release,
            "AcqRel" => Ordering::AcqRel,
            _ => return Err(FORM),
        };
        let number = |text: &str| text.parse::<u32>().map_err(|_| FORM);
        Ok(Self {
            file: file.into(),
            line: number(line)?,
            column: number(column)?,
            nth: number(nth)? as usize,
            to,
        })
    }
}

fn weakening() -> Option<&'static Weakening> {
    static WEAKENING: OnceLock<Option<Weakening>> = OnceLock::new();
    let read = || {
        let text = std::env::var("SESSILE_WEAKEN").ok()?;
        Some(text.parse().unwrap_or_else(|error| panic!("{error}, not {text}")))
    };
    WEAKENING.get_or_init(read).as_ref()
}

fn records() -> bool {
    static RECORDS: OnceLock<bool> = OnceLock::new();
    *RECORDS.get_or_init(|| std::env::var_os("SESSILE_SITES").is_some())
}

fn record(location: &'static Location<'static>, operation: &str, orderings: &[Ordering]) {
    search::record(location, || {
        let orderings: Vec<_> = orderings.iter().map(|ordering| format!("{ordering:?}")).collect();
        format!("{operation} {}", orderings.join(","))
    });
}
