//! What is run, in which order, and how long it may take.

use crate::cli::Options;
use crate::dyn_store::{Candidate, Role};
use crate::figures::Table;
use crate::machine::{Machine, memory_available};
use crate::measure::{Effort, FillMode, TestBed};
use crate::memory;
use crate::peers::Values;
use crate::report::Results;
use crate::stop;
use crate::table::{text_of, text_of_trace};
use crate::traces::{self, Event, Scenario};
use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::HashMap;
use std::time::Duration;
use stores::workloads::cold::Control;
use stores::workloads::{Preparation, Workload};

/// A run.
pub(crate) struct Plan {
    /// By what the peers keep.
    candidates: Vec<(Values, Vec<Candidate>)>,
    /// For the traces.
    caches: Vec<Candidate>,
    workloads: Vec<Workload>,
    entries: Vec<u64>,
    threads: Vec<usize>,
    is_quick: bool,
    /// Which workloads to run.
    is_told: bool,
    /// Synthetic traces first.
    traces: Vec<(String, Source)>,
    trace_events: usize,
    bar: ProgressBar,
}

enum Source {
    Scenario(Scenario),
    File(Vec<Event>),
}

/// Above this many sessions, building a store takes longer than a run.
const LARGE: u64 = 100_000;
/// Of a session with its part of the store, roughly, for the estimate of memory.
const BYTES_PER_SESSION: u64 = 480;

impl Plan {
    /// Checks what was asked for.
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let mut traces = Vec::new();
        if options.wants_traces() {
            traces.extend(
                Scenario::ALL
                    .map(|scenario| (scenario.name().to_owned(), Source::Scenario(scenario))),
            );
        }
        for path in &options.trace {
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
            traces.push((name, Source::File(traces::read(path, options.trace_format)?)));
        }
        let candidates = |values: Values| options.candidates(values.candidates());
        let of_kind = |&values: &Values| Ok((values, candidates(values)?));
        let plan = Self {
            candidates: options.values.iter().map(of_kind).collect::<Result<_>>()?,
            caches: candidates(Values::Session)?,
            workloads: options.workloads(),
            entries: options.entries.clone(),
            threads: options.threads.clone(),
            is_quick: options.quick,
            is_told: !options.workload.is_empty(),
            traces,
            trace_events: if options.quick { 400_000 } else { 1_600_000 },
            bar: ProgressBar::new(0),
        };
        plan.check_memory()?;
        Ok(plan)
    }

    fn check_memory(&self) -> Result<()> {
        let Some(available) = memory_available() else { return Ok(()) };
        let most = self.entries.iter().max().copied().unwrap_or(0);
        let stores = self.caches.len();
        let needed = most * BYTES_PER_SESSION * stores as u64;
        if needed > available {
            let gigabytes = |bytes: u64| bytes.div_ceil(1 << 30);
            bail!(
                "{stores} stores of {most} sessions need about {} GB of memory, {} are available; choose fewer with --peers or --entries",
                gigabytes(needed),
                gigabytes(available)
            );
        }
        Ok(())
    }

    /// Measures everything, and prints each table when it is done.
    pub(crate) fn run(&self) -> Results {
        let is_cold = self.workloads.iter().any(|workload| workload.cold().is_some());
        let mut results = Results {
            machine: Machine::look(),
            control: is_cold.then(Control::measure),
            tables: Vec::new(),
            traces: Vec::new(),
            weights: HashMap::new(),
        };
        println!("{}\n", results.machine);
        if let Some(control) = &results.control {
            println!("{control}\n");
        }
        self.start_bar();
        for &entries in &self.entries {
            if self.workloads_at(entries).is_empty() {
                continue;
            }
            if stop::is_asked() {
                break;
            }
            for (values, candidates) in &self.candidates {
                self.bar.set_message(format!("weighing stores of {entries}"));
                let weights = memory::weigh(candidates, *values, entries);
                results.weights.insert((*values, entries), weights);
                for &threads in &self.threads {
                    let mut bed = TestBed::new(*values, entries, threads);
                    self.run_leg(&mut bed, candidates, &mut results);
                }
            }
        }
        self.run_traces(&mut results);
        self.bar.finish_and_clear();
        results
    }

    /// What is measured at one size. A quick run that was not told otherwise keeps large stores to
    /// the lookups.
    fn workloads_at(&self, entries: u64) -> Vec<Workload> {
        let is_run = |workload: &Workload| {
            !self.is_quick || self.is_told || entries <= LARGE || *workload == Workload::Hit
        };
        self.workloads.iter().copied().filter(is_run).collect()
    }

    fn run_leg(&self, bed: &mut TestBed, all: &[Candidate], results: &mut Results) {
        let (entries, threads) = (bed.capacity(), bed.threads());
        let workloads = self.workloads_at(entries);
        let mut prepared = Preparation::Newborn;
        let is_lasting = |workload: &&Workload| workload.preparation() != Preparation::Newborn;
        for &workload in workloads.iter().filter(is_lasting) {
            if stop::is_asked() {
                return;
            }
            let candidates = entrants_of(all, workload);
            let effort = self.effort(entries, workload);
            self.bar.set_message(format!("{workload}, {entries} sessions, {threads} thread(s)"));
            if workload.preparation() != prepared || bed.is_without(&candidates) {
                prepared = workload.preparation();
                bed.prepare(&candidates, prepared);
            }
            if let Some(table) = bed.measure(workload, &candidates, effort) {
                self.publish(results, table);
            }
        }
        bed.clear();
        for mode in FillMode::ALL {
            let [up, down] = mode.workloads();
            if !workloads.contains(&up) && !workloads.contains(&down) {
                continue;
            }
            self.bar
                .set_message(format!("{up} and {down}, {entries} sessions, {threads} thread(s)"));
            let (candidates, effort) = (entrants_of(all, up), self.effort(entries, up));
            let tables = bed.measure_fills(&candidates, mode, effort);
            let wanted = |table: &Table| workloads.contains(&table.workload);
            let tables = tables.into_iter().flatten().filter(wanted);
            tables.for_each(|table| self.publish(results, table));
        }
    }

    fn publish(&self, results: &mut Results, table: Table) {
        self.bar.suspend(|| println!("{}", text_of(results, &table)));
        self.bar.inc(1);
        results.tables.push(table);
    }

    fn run_traces(&self, results: &mut Results) {
        let capacity = self.entries.first().copied().unwrap_or(0);
        for (name, source) in &self.traces {
            if stop::is_asked() {
                return;
            }
            self.bar.set_message(name.clone());
            let generated;
            let trace = match source {
                Source::File(trace) => trace,
                Source::Scenario(scenario) => {
                    generated = scenario.generate(capacity as usize, self.trace_events);
                    &generated
                }
            };
            let ratios = traces::compare(name.clone(), trace, capacity, &self.caches);
            self.bar.suspend(|| println!("{}", text_of_trace(&ratios)));
            self.bar.inc(1);
            results.traces.push(ratios);
        }
    }

    fn effort(&self, entries: u64, workload: Workload) -> Effort {
        let rounds = if self.is_quick { 5 } else { 9 };
        let sample = match (workload.cold(), self.is_quick) {
            (None, true) => 10,
            (None, false) => 20,
            // Nearly all of it is walks.
            (Some(_), true) => 40,
            (Some(_), false) => 80,
        };
        let fills = match (self.is_quick, entries > LARGE) {
            (true, true) => 1,
            (false, true) => 2,
            (true, false) => 5,
            (false, false) => 9,
        };
        Effort { rounds, fills, run_time: Duration::from_millis(sample) }
    }

    fn start_bar(&self) {
        let style =
            ProgressStyle::with_template("{wide_bar} {pos}/{len} tables, {eta} left: {msg}");
        self.bar.set_style(style.expect("the template is valid"));
        let workloads: usize =
            self.entries.iter().map(|&entries| self.workloads_at(entries).len()).sum();
        let tables = workloads * self.candidates.len() * self.threads.len() + self.traces.len();
        self.bar.set_length(tables as u64);
    }
}

/// Who takes part in a workload.
fn entrants_of(all: &[Candidate], workload: Workload) -> Vec<Candidate> {
    let takes_part = |candidate: &&Candidate| match candidate.role {
        Role::Variant => false,
        Role::LookupFloor => matches!(workload, Workload::Hit | Workload::ColdGet),
        _ => true,
    };
    all.iter().filter(takes_part).copied().collect()
}
