//! Hit ratios: the same requests to every policy, at equal capacity, from one thread.

mod generate;
mod read;
mod simulate;

pub(crate) use generate::Scenario;
pub(crate) use read::{Format, read};

use crate::dyn_store::{Candidate, Role, Start};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use stores::ids::Id;
use stores::store::{Lifetime, Store, Value};

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Stores a new session.
    Add,
    /// Looks a session up.
    Get,
    /// Looks up, and stores what is missing.
    GetOrAdd,
    /// Looks up and removes.
    Take,
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) op: Op,
    pub(crate) id: u32,
}

/// Lookups and hits after the warm-up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HitCount {
    lookups: u64,
    hits: u64,
}

impl HitCount {
    /// `None` when nothing was looked up.
    pub(crate) fn ratio(self) -> Option<f64> {
        (self.lookups > 0).then(|| self.hits as f64 / self.lookups as f64)
    }
}

/// Events that warm up: the first quarter.
fn warm_up(trace: &[Event]) -> usize {
    trace.len() / 4
}

/// Runs a trace through a policy given as a function, which says whether a lookup hit.
fn run(trace: &[Event], mut request: impl FnMut(usize, Event) -> bool) -> HitCount {
    let mut hits = HitCount::default();
    for (at, &event) in trace.iter().enumerate() {
        let is_hit = request(at, event);
        if at >= warm_up(trace) && event.op != Op::Add {
            hits.lookups += 1;
            hits.hits += u64::from(is_hit);
        }
    }
    hits
}

/// Replays a trace to a store.
pub(crate) fn replay<S: Store>(store: &S, trace: &[Event]) -> HitCount {
    run(trace, |_, event| {
        let id = Id::of(u64::from(event.id));
        let add = || store.add(&id, S::Value::make(&id, Lifetime::Unset));
        match event.op {
            Op::Add => {
                add();
                false
            }
            Op::Get => store.get(&id),
            Op::GetOrAdd => {
                let is_hit = store.get(&id);
                if !is_hit {
                    add();
                }
                is_hit
            }
            Op::Take => store.take(&id),
        }
    })
}

/// The hit ratios of one trace.
#[derive(Clone, Debug)]
pub(crate) struct HitRatios {
    pub(crate) trace: String,
    pub(crate) capacity: u64,
    pub(crate) events: usize,
    /// Simulated policies first.
    pub(crate) policies: Vec<Outcome>,
}

/// One policy under one trace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    /// `None` when nothing was looked up.
    pub(crate) hit_ratio: Option<f64>,
    /// Sessions that the store holds at the end, if it tells: some hold more than they are told to.
    pub(crate) holds: Option<usize>,
}

/// Whether a trace is replayed to a candidate.
pub(crate) fn takes_part(candidate: &Candidate) -> bool {
    let is_cache =
        matches!(candidate.role, Role::Subject | Role::Variant | Role::Peer) && candidate.evicts;
    is_cache && !candidate.searches
}

/// Replays a trace to the simulated policies and to all caches, several at a time.
pub(crate) fn compare(
    name: String,
    trace: &[Event],
    capacity: u64,
    candidates: &[Candidate],
) -> HitRatios {
    type Policy<'p> = Box<dyn Fn() -> (HitCount, Option<usize>) + Send + Sync + 'p>;
    let size = capacity as usize;
    let mut policies: Vec<(&'static str, Policy<'_>)> = vec![
        ("Belady", Box::new(|| (simulate::belady(trace, size), None))),
        ("LRU", Box::new(|| (simulate::lru(trace, size), None))),
        ("FIFO", Box::new(|| (simulate::fifo(trace, size), None))),
    ];
    for &candidate in candidates.iter().filter(|candidate| takes_part(candidate)) {
        let replayed = move || {
            let store = candidate.build(size, Start::Sized);
            (store.replay(trace), store.stored())
        };
        policies.push((candidate.name, Box::new(replayed)));
    }
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(vec![None; policies.len()]);
    let work = || loop {
        // ORDERING: Relaxed: only uniqueness matters.
        let at = next.fetch_add(1, Ordering::Relaxed);
        let Some((name, policy)) = policies.get(at) else { break };
        let (hits, holds) = policy();
        let outcome = Outcome { name, hit_ratio: hits.ratio(), holds };
        outcomes.lock().expect("no panic inside")[at] = Some(outcome);
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let outcomes = outcomes.into_inner().expect("no panic inside");
    HitRatios {
        trace: name,
        capacity,
        events: trace.len(),
        policies: outcomes.into_iter().flatten().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::Values;

    fn events(ids: &[u32]) -> Vec<Event> {
        ids.iter().map(|&id| Event { op: Op::GetOrAdd, id }).collect()
    }

    #[test]
    fn policies_differ_where_they_should() {
        // One hot id among newcomers: a cache of two that knows recency or the future keeps it, a
        // queue does not.
        let ids: Vec<u32> = (0..4000).map(|at| if at % 2 == 0 { 0 } else { at }).collect();
        let trace = events(&ids);
        let ratio = |hits: HitCount| (hits.ratio().unwrap() * 100.0).round();
        assert_eq!(ratio(simulate::lru(&trace, 2)), 50.0);
        assert_eq!(ratio(simulate::belady(&trace, 2)), 50.0);
        assert!(ratio(simulate::fifo(&trace, 2)) < 40.0);
    }

    /// No policy and no cache has more hits than the optimum, but those that hold more than they
    /// are told to.
    #[test]
    fn belady_is_an_upper_bound() {
        const CAPACITY: u64 = 256;
        let sawtooth: Vec<u32> = (0..20_000).map(|at| at % 300).collect();
        let traces = Scenario::ALL.map(|scenario| scenario.generate(CAPACITY as usize, 20_000));
        for trace in traces.into_iter().chain([events(&sawtooth)]) {
            let outcome = compare("x".into(), &trace, CAPACITY, &Values::Session.candidates());
            let (belady, others) = outcome.policies.split_first().unwrap();
            assert_eq!(belady.name, "Belady");
            for other in others
                .iter()
                .filter(|other| other.holds.is_none_or(|holds| holds as u64 <= CAPACITY))
            {
                assert!(belady.hit_ratio >= other.hit_ratio, "{belady:?}, {other:?}");
            }
        }
    }

    /// What is asked for during the warm-up alone takes no room from what counts.
    #[test]
    fn belady_is_the_optimum_of_what_counts() {
        let warm_up: Vec<u32> = (1..=6).chain([1, 2]).collect();
        let counted = (0..24).map(|at| 5 + at % 2);
        let trace = events(&warm_up.into_iter().chain(counted).collect::<Vec<_>>());
        assert_eq!(simulate::belady(&trace, 2).ratio(), Some(1.0));
    }
}
