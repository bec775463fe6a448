//! What belongs to one search: its switches, and the places that it executed.
//!
//! loom and shuttle run all threads of a model on the thread that searches. So all of this lives in
//! that thread's own storage, and searches on other threads have theirs: no search can change what
//! another one does. Whoever asks outside of a search panics: a model cannot run under switches
//! that an earlier one left.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::marker::PhantomData;
#[cfg(sessile_loom)]
use std::panic::Location;

/// Where an operation stands: file, line, column.
pub(crate) type Place = (&'static str, u32, u32);

/// What a search is made with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Switches {
    /// Domains use real crossbeam-epoch, not the reclaimer that frees at the first moment its
    /// contract allows.
    pub real_epoch: bool,
    /// The files, `src/settings.rs`, whose words on request are seen.
    pub seen: &'static [&'static str],
}

/// A search that is under way on this thread, and on no other: it cannot be sent.
#[derive(Debug)]
pub struct Search(PhantomData<*const ()>);

struct State {
    switches: Switches,
    sites: BTreeMap<Place, String>,
}

thread_local! {
    static STATE: RefCell<Option<State>> = const { RefCell::new(None) };
}

impl Search {
    /// Begins a search on this thread; dropped, it has ended.
    ///
    /// # Panics
    /// When one is under way on this thread.
    pub fn begin(switches: Switches) -> Self {
        STATE.with_borrow_mut(|state| {
            assert!(state.is_none(), "a search within a search");
            *state = Some(State { switches, sites: BTreeMap::new() });
        });
        Self(PhantomData)
    }

    /// The places that this search has executed, each with its operation and orderings; empty
    /// unless they are recorded.
    pub fn sites(&self) -> Vec<String> {
        let shown = |((file, line, column), what): (&Place, &String)| {
            format!("{file}:{line}:{column} {what}")
        };
        with(|state| state.sites.iter().map(shown).collect())
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        STATE.set(None);
    }
}

/// The switches of the search that makes something now.
pub(crate) fn switches() -> Switches {
    with(|state| state.switches)
}

/// Notes that the operation at `location` was executed.
#[cfg(sessile_loom)]
pub(crate) fn record(location: &'static Location<'static>, what: impl FnOnce() -> String) {
    let place = (location.file(), location.line(), location.column());
    with(|state| {
        state.sites.entry(place).or_insert_with(what);
    });
}

fn with<R>(f: impl FnOnce(&mut State) -> R) -> R {
    STATE.with_borrow_mut(|state| f(state.as_mut().expect("only a search makes what a model sees")))
}
