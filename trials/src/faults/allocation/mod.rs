//! Each allocation of each operation fails once.
//!
//! The allocator refuses the n-th allocation of one operation, for n = 0, 1, 2, … until the
//! operation asks for no more. What follows is one of three:
//!
//! - *refused*: the operation says that there is no memory, and nothing changed;
//! - *done*: it succeeded all the same, and everything is as if nothing had been refused;
//! - *aborted*: the process ended by `handle_alloc_error`. This is a success only at the places of
//!   [`DOCUMENTED`].
//!
//! Because of the third, tries are made in child processes: this program, told by a hidden option
//! what to do. A child goes through n until it dies of one or is done; the parent reads what it
//! printed and starts the next child behind that n.

mod cases;

use super::backtraces::{self, Site};
use super::outcome::{Figures, Outcome};
use super::support::run_child;
use anyhow::{Context, Result, bail, ensure};
use cases::{CASES, Ending, Setting, counting};
use sessile::Stats;
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;
use testkit::allocator::refuse;
use testkit::{ensure_reclaimed, ensure_whole};

/// Allocations of one operation that are tried at most.
const TRIES_MAX: usize = 400;

/// Where the README's limits say that the process ends when memory is exhausted; everything else is
/// to be refused.
const DOCUMENTED: [(&str, &str); 11] = [
    // `Session::new` and `SessionBuilder::build`; `try_build` reports it.
    ("sessile", "src/memory.rs"),
    ("sessile", "src/cache/snapshot.rs"),
    // A `set_capacity` that evicts.
    ("sessile", "src/cache/resize.rs"),
    // The queue of what was retired, and its seal.
    ("sessile", "src/reclaim/limbo.rs"),
    ("crossbeam-epoch", ""),
    // `collect`, building a cache.
    ("sessile", "src/reclaim/domain.rs"),
    ("sessile", "src/reclaim/shared.rs"),
    // A thread's first use.
    ("sessile", "src/reclaim/local.rs"),
    // Hooks that are set, or told of several sessions at once.
    ("sessile", "src/cache/notify.rs"),
    ("sessile", "src/sync/settings_cell.rs"),
    ("arc-swap", ""),
];

/// What the child does: tries one refusal after the other, and says so beforehand and afterwards.
pub(crate) fn child(name: &str, first: usize) -> Result<()> {
    let case = CASES.iter().find(|case| case.name == name).context("no such case")?;
    for passes in first..TRIES_MAX {
        let setting = (case.prepare)()?;
        let before = setting.cache.stats();
        println!("try {passes}");
        let (ended, was_refused) = refuse(passes, say_where, || (case.run)(&setting));
        let ended = ended?;
        if !was_refused {
            println!("end");
            return Ok(());
        }
        check(setting, &before, &ended)?;
        println!("{ended:?}");
    }
    bail!("more than {TRIES_MAX} allocations")
}

fn say_where() {
    let offsets: Vec<_> = backtraces::offsets().iter().map(isize::to_string).collect();
    println!("where {}", offsets.join(" "));
}

/// Nothing was lost, and a refusal changed nothing.
fn check(setting: Setting, before: &Stats, ended: &Ending) -> Result<()> {
    let Setting { cache, ledger, newcomers } = setting;
    if *ended == Ending::Refused && cache.capacity() != usize::MAX {
        let after = cache.stats();
        ensure!(
            after == counting(before.clone(), &after),
            "a refusal changed the cache: {after:?}, before {before:?}"
        );
    }
    ensure_whole(&cache)?;
    for number in 20_000..20_200 {
        ensure!(
            cache.add(ledger.session(number)).is_ok_and(|added| added.changed()),
            "an add was refused although there is memory"
        );
    }
    ensure_whole(&cache)?;
    cache.clear();
    ensure_reclaimed(&cache)?;
    drop(newcomers);
    ledger.ensure_alive(0)
}

impl Ending {
    fn kind(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Aborted(_) => "aborted",
        }
    }
}

pub(crate) fn run(_time: Duration, figures: &mut Figures) -> Result<()> {
    let mut outcome = Outcome::new("allocation: each fails once");
    let mut counts = BTreeMap::new();
    let mut sites: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for case in &CASES {
        // Also of operations that allocate nothing: their child must come to its end.
        let mut endings = Vec::new();
        outcome.attempt(case.name, || {
            endings = endings_of(case.name)?;
            Ok(())
        });
        for (passes, ending) in endings.iter().enumerate() {
            outcome.attempt(format_args!("{}, allocation {passes}", case.name), || judge(ending));
            *counts.entry(ending.kind()).or_insert(0u64) += 1;
            let Ending::Aborted(site) = ending else { continue };
            let mark = if is_documented(site) { "" } else { ", UNDOCUMENTED" };
            let cases = sites.entry(format!("{}{mark}", site.place)).or_default();
            if !cases.contains(&case.name) {
                cases.push(case.name);
            }
        }
    }
    outcome.note(format!("{counts:?}"));
    outcome.notes.extend(
        sites.iter().map(|(site, cases)| format!("aborts at {site}: {}", cases.join(", "))),
    );
    figures.faults.push(outcome);
    Ok(())
}

fn judge(ending: &Ending) -> Result<()> {
    let Ending::Aborted(site) = ending else { return Ok(()) };
    ensure!(is_documented(site), "aborts at {} ({})", site.place, site.function);
    Ok(())
}

fn is_documented(site: &Site) -> bool {
    DOCUMENTED.iter().any(|(krate, file)| site.krate == *krate && site.place.starts_with(file))
}

/// How all refusals ended of one case, in the order of the allocations.
fn endings_of(case: &str) -> Result<Vec<Ending>> {
    let mut endings = Vec::new();
    loop {
        let output = run_child(&["allocation", case, &endings.len().to_string()])?;
        let text = String::from_utf8_lossy(&output.stdout);
        let is_over = read_endings(&text, &mut endings)?;
        let error = String::from_utf8_lossy(&output.stderr);
        match output.status.signal() {
            None if output.status.success() && is_over => return Ok(endings),
            Some(libc::SIGABRT) if error.contains("memory allocation of") => {
                endings.push(Ending::Aborted(site_of(&text)?));
            }
            _ => bail!("allocation {}: {}, {}", endings.len(), output.status, error.trim()),
        }
    }
}

/// Appends what a child says that it saw; true if it came to the end of the case.
fn read_endings(text: &str, endings: &mut Vec<Ending>) -> Result<bool> {
    for line in text.lines() {
        match line {
            "Done" => endings.push(Ending::Done),
            "Refused" => endings.push(Ending::Refused),
            "end" => return Ok(true),
            _ if line.starts_with("try ") => {
                ensure!(
                    line["try ".len()..].parse() == Ok(endings.len()),
                    "a try is missing before {line:?}"
                );
            }
            _ if line.starts_with("where ") => {}
            _ => bail!("a child says {line:?}"),
        }
    }
    Ok(false)
}

/// Where the last refusal was.
fn site_of(text: &str) -> Result<Site> {
    let line = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("where "))
        .context("aborted before a refusal")?;
    let offsets: Vec<isize> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    backtraces::innermost(&offsets, &["sessile", "crossbeam-epoch", "arc-swap"])
        .context("aborted in a place without a name")
}

#[cfg(test)]
mod tests {
    use super::{Ending, is_documented, judge, read_endings};
    use crate::faults::backtraces::Site;

    #[test]
    fn an_abort_elsewhere_is_found() {
        let site = |krate: &str, place: &str| Site {
            krate: krate.into(),
            function: String::new(),
            place: place.into(),
        };
        assert!(is_documented(&site("crossbeam-epoch", "crossbeam-epoch/src/atomic.rs:200")));
        assert!(is_documented(&site("sessile", "src/cache/snapshot.rs:28")));
        assert!(judge(&Ending::Aborted(site("sessile", "src/raw/table.rs:41"))).is_err());
        assert!(judge(&Ending::Refused).is_ok());
    }

    #[test]
    fn a_child_is_read_up_to_where_it_died() {
        let mut endings = Vec::new();
        assert_eq!(
            read_endings("try 0\nwhere 1 2\nDone\ntry 1\nwhere 3", &mut endings).ok(),
            Some(false)
        );
        assert_eq!(endings, [Ending::Done]);
        assert_eq!(
            read_endings("try 1\nwhere 1\nRefused\ntry 2\nend\n", &mut endings).ok(),
            Some(true)
        );
        assert!(read_endings("try 7", &mut endings).is_err(), "a try is missing");
        assert!(read_endings("nonsense", &mut endings).is_err());
    }
}
