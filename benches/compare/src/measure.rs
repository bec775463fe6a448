//! Interleaved rounds.
//!
//! All stores of a table are alive together, and each round has one run of each, in an order that
//! rotates: whatever disturbs the machine disturbs all of them. Where stores are filled and
//! emptied, a round is the whole life of one store after the other, interleaved in the same way.

use crate::dyn_store::{Candidate, DynStore, Start};
use crate::figures::{Quantiles, Record, Round, Table};
use crate::peers::Values;
use crate::stop;
use crate::workers::Workers;
use std::sync::Arc;
use std::time::Duration;
use stores::throttle::Throttle;
use stores::workloads::latency::histogram;
use stores::workloads::{self, Kernel, Preparation, Workload};
use stores::{Job, Sample};

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Rounds of a table.
    pub(crate) rounds: usize,
    /// Rounds of a table whose stores live for one round.
    pub(crate) fills: usize,
    pub(crate) run_time: Duration,
}

/// Which workloads share the life of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FillMode {
    /// Told its capacity; filled, then emptied one by one.
    Sized,
    /// Not told, where it need not be; filled with sessions of which half expire, then swept.
    Growing,
}

impl FillMode {
    pub(crate) const ALL: [Self; 2] = [Self::Sized, Self::Growing];

    pub(crate) fn workloads(self) -> [Workload; 2] {
        match self {
            Self::Sized => [Workload::Fill, Workload::Remove],
            Self::Growing => [Workload::Grow, Workload::Flush],
        }
    }

    fn start(self) -> Start {
        match self {
            Self::Sized => Start::Sized,
            Self::Growing => Start::Growing,
        }
    }

    /// Whether a store can be emptied in this way, and within minutes.
    fn can_end(self, candidate: &Candidate, entries: u64) -> bool {
        /// Entries above which a removal that searches takes milliseconds.
        const SEARCHABLE: u64 = 100_000;
        match self {
            Self::Sized => !(candidate.searches && entries > SEARCHABLE),
            Self::Growing => (candidate.flushes)(),
        }
    }
}

/// Lookups of each thread beside no sweep.
const QUIET_LOOKUPS: u64 = 100_000;

/// A store that is alive, with what was done to it.
struct LiveStore {
    candidate: Candidate,
    store: Arc<dyn DynStore>,
    /// Sessions (pairs) that each thread has added.
    added: u64,
}

/// Stores of one size and who runs on them.
pub(crate) struct TestBed {
    workers: Workers,
    values: Values,
    capacity: u64,
    popularity: Arc<[u32]>,
    live_stores: Vec<LiveStore>,
}

impl TestBed {
    /// Nobody but the threads.
    pub(crate) fn new(values: Values, entries: u64, threads: usize) -> Self {
        let workers = Workers::new(threads);
        // Each thread has the same share.
        let capacity = entries / workers.threads() * workers.threads();
        let popularity = workloads::popularity(capacity, workers.threads());
        Self { workers, values, capacity, popularity, live_stores: Vec::new() }
    }

    /// Sessions that a store holds.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    pub(crate) fn threads(&self) -> u64 {
        self.workers.threads()
    }

    /// Builds and prepares a store of each candidate in place of those before.
    pub(crate) fn prepare(&mut self, candidates: &[Candidate], preparation: Preparation) {
        self.live_stores.clear();
        for &candidate in candidates {
            let mut live_store = self.build(candidate, Start::Sized);
            self.prepare_one(&mut live_store, preparation);
            self.live_stores.push(live_store);
        }
    }

    /// Gives the memory of the stores back.
    pub(crate) fn clear(&mut self) {
        self.live_stores.clear();
    }

    /// Whether somebody is missing.
    pub(crate) fn is_without(&self, candidates: &[Candidate]) -> bool {
        let is_there = |candidate: &Candidate| {
            self.live_stores.iter().any(|one| one.candidate.name == candidate.name)
        };
        !candidates.iter().all(is_there)
    }

    /// How many sessions each store holds.
    #[cfg(test)]
    pub(crate) fn stored(&self) -> impl Iterator<Item = (Candidate, Option<usize>)> {
        self.live_stores.iter().map(|one| (one.candidate, one.store.stored()))
    }

    fn build(&self, candidate: Candidate, start: Start) -> LiveStore {
        LiveStore { candidate, store: candidate.build(self.capacity as usize, start), added: 0 }
    }

    fn share(&self) -> u64 {
        self.capacity / self.workers.threads()
    }

    fn prepare_one(&self, live_store: &mut LiveStore, preparation: Preparation) {
        for (kernel, ops) in preparation.runs(live_store.candidate.searches, self.share()) {
            self.run(live_store, kernel, ops, 0);
        }
    }

    fn run(&self, live_store: &mut LiveStore, kernel: Kernel, ops: u64, seed: u64) -> Vec<Sample> {
        let job = Job {
            kernel,
            capacity: self.capacity,
            threads: self.workers.threads(),
            first: live_store.added,
            ops,
            seed,
            popularity: Arc::clone(&self.popularity),
            throttle: Arc::new(Throttle::new(self.workers.threads())),
        };
        live_store.added += kernel.advance(ops);
        self.workers.run(&live_store.store, job)
    }

    /// How many operations fill a run.
    fn calibrate(&self, live_store: &mut LiveStore, kernel: Kernel, run_time: Duration) -> u64 {
        const ENOUGH: Duration = Duration::from_millis(2);
        let grain = kernel.grain();
        let mut ops = grain;
        loop {
            let nanos = nanos_per_op(&self.run(live_store, kernel, ops, 1)) * ops as f64;
            if nanos >= ENOUGH.as_nanos() as f64 {
                let wanted = ops as f64 * run_time.as_nanos() as f64 / nanos;
                return (wanted as u64).max(1).next_multiple_of(grain);
            }
            ops *= 2;
        }
    }

    /// Measures a workload on the stores that are prepared, as far as they take part. The rounds
    /// until somebody asks for the end; `None` if there are none.
    pub(crate) fn measure(
        &mut self,
        workload: Workload,
        candidates: &[Candidate],
        effort: Effort,
    ) -> Option<Table> {
        let kernel = Kernel::Measured(workload);
        let mut all = std::mem::take(&mut self.live_stores);
        let takes_part = |one: &&mut LiveStore| {
            candidates.iter().any(|candidate| candidate.name == one.candidate.name)
        };
        let mut live_stores: Vec<_> = all.iter_mut().filter(takes_part).collect();
        let ops: Vec<_> = live_stores
            .iter_mut()
            .map(|one| self.calibrate(one, kernel, effort.run_time))
            .collect();
        let mut table = self.table(workload, candidates.iter().copied());
        let mut whole = 0;
        while whole < effort.rounds && !stop::is_asked() {
            let round = whole;
            table.round_trips.extend(self.workers.round_trip_nanos());
            for turn in 0..live_stores.len() {
                let at = (round + turn) % live_stores.len();
                let seed = 2 * round as u64;
                // The other stores have pushed this one out of the caches.
                self.run(
                    live_stores[at],
                    kernel,
                    (ops[at] / 3).next_multiple_of(kernel.grain()),
                    seed,
                );
                let samples = self.run(live_stores[at], kernel, ops[at], seed + 1);
                table.records[at].note((Round::of(workload, &samples), samples));
            }
            whole += 1;
        }
        self.live_stores = all;
        (whole > 0).then_some(table)
    }

    /// Measures the two workloads that share a store's life. The rounds until somebody asks for
    /// the end; `None` if there are none.
    pub(crate) fn measure_fills(
        &self,
        candidates: &[Candidate],
        mode: FillMode,
        effort: Effort,
    ) -> Option<[Table; 2]> {
        let [up, down] = mode.workloads();
        let can_end = |candidate: &Candidate| mode.can_end(candidate, self.capacity);
        let mut ups = self.table(up, candidates.iter().copied());
        let mut downs = self.table(down, candidates.iter().copied().filter(can_end));
        let mut whole = 0;
        while whole < effort.fills && !stop::is_asked() {
            let round = whole;
            let trip = self.workers.round_trip_nanos();
            ups.round_trips.extend(trip);
            downs.round_trips.extend(trip);
            for turn in 0..candidates.len() {
                let at = (round + turn) % candidates.len();
                let mut live_store = self.build(candidates[at], mode.start());
                ups.records[at].note(self.fill(&mut live_store, up));
                let record = downs
                    .records
                    .iter_mut()
                    .find(|record| record.candidate.name == candidates[at].name);
                if let Some(record) = record {
                    record.note(self.drain(&mut live_store, down, round as u64));
                }
            }
            whole += 1;
        }
        (whole > 0).then_some([ups, downs])
    }

    /// Fills a new store.
    fn fill(&self, live_store: &mut LiveStore, workload: Workload) -> (Round, Vec<Sample>) {
        let samples = self.run(live_store, Kernel::Measured(workload), self.share(), 0);
        (Round::of(workload, &samples), samples)
    }

    /// Removes or sweeps what is in a full one.
    fn drain(
        &self,
        live_store: &mut LiveStore,
        workload: Workload,
        seed: u64,
    ) -> (Round, Vec<Sample>) {
        let quiet_p99 = (workload == Workload::Flush)
            .then(|| self.run(live_store, Kernel::Quiet, QUIET_LOOKUPS, seed))
            .and_then(|samples| Quantiles::of(&samples))
            .map(|quantiles| quantiles.p99);
        let samples = self.run(live_store, Kernel::Measured(workload), self.share(), seed);
        (Round { quiet_p99, ..Round::of(workload, &samples) }, samples)
    }

    fn table(&self, workload: Workload, candidates: impl Iterator<Item = Candidate>) -> Table {
        Table {
            workload,
            values: self.values,
            entries: self.capacity,
            threads: self.workers.threads(),
            is_oversubscribed: self.workers.is_oversubscribed(),
            round_trips: Vec::new(),
            records: candidates.map(Record::new).collect(),
        }
    }
}

/// The mean over threads of the time of one operation.
fn nanos_per_op(samples: &[Sample]) -> f64 {
    let sum: f64 = samples.iter().map(|sample| sample.nanos as f64 / sample.ops as f64).sum();
    sum / samples.len() as f64
}

impl Round {
    fn of(workload: Workload, samples: &[Sample]) -> Self {
        let quantiles = Quantiles::of(samples);
        let nanos = match (workload, quantiles) {
            (workload, Some(quantiles))
                if workload == Workload::Tail || workload.cold().is_some() =>
            {
                quantiles.p50
            }
            // The first thread sweeps.
            (Workload::Flush, _) => nanos_per_op(&samples[..1]),
            _ => nanos_per_op(samples),
        };
        Self { nanos, quantiles, quiet_p99: None }
    }
}

impl Quantiles {
    /// Of the single operations of all threads.
    fn of(samples: &[Sample]) -> Option<Self> {
        let mut all = histogram();
        for latency in samples.iter().filter_map(|sample| sample.latency.as_ref()) {
            all.add(latency).expect("the bounds are the same");
        }
        let at = |quantile| all.value_at_quantile(quantile) as f64;
        let is_any = !all.is_empty();
        is_any.then(|| Self {
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            worst: all.max() as f64,
        })
    }
}

impl Record {
    fn note(&mut self, (round, samples): (Round, Vec<Sample>)) {
        self.rounds.push(round);
        self.lookups += samples.iter().map(|sample| sample.lookups).sum::<u64>();
        self.hits += samples.iter().map(|sample| sample.hits).sum::<u64>();
        self.nanos += samples.iter().map(|sample| sample.nanos).sum::<u64>();
        self.delayed_nanos += samples.iter().map(|sample| sample.delayed_nanos).sum::<u64>();
    }
}
