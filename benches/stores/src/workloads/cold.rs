//! Operations with cold caches: before each the thread runs through data and code.

use super::latency::histogram;
use super::ticks::Ticks;
use super::walk::{Code, Walk};
use super::{Meter, Operation};
use crate::sample::{Job, Sample};
use crate::store::Store;
use hdrhistogram::Histogram;
use std::cell::RefCell;
use std::fmt;
use std::hint::black_box;

thread_local! {
    /// Made once: allocations between runs would not be the stores'.
    static WALK: RefCell<Walk> = RefCell::new(Walk::new());
}

/// Evicts, then takes the time of one operation.
struct Cold<'w> {
    walk: &'w mut Walk,
    ticks: Ticks,
    histogram: Histogram<u64>,
}

impl Meter for Cold<'_> {
    #[inline]
    fn take<R>(&mut self, operation: impl FnOnce() -> R) -> R {
        self.walk.run();
        let mut result = None;
        let nanos = self.ticks.time(|| result = Some(black_box(operation())));
        self.histogram.saturating_record(nanos as u64);
        result.expect("the operation has ended")
    }
}

/// Runs one thread of a job. The time of the run has that of the walks in it.
pub(super) fn run<S: Store>(store: &S, job: &Job, thread: u64, operation: Operation) -> Sample {
    WALK.with_borrow_mut(|walk| {
        let mut cold = Cold { walk, ticks: Ticks::new(), histogram: histogram() };
        let sample = operation.run(store, job, thread, &mut cold);
        Sample { latency: Some(cold.histogram), ..sample }
    })
}

/// What a walk does to the caches: the median time, in nanoseconds, of a load and of a call whose
/// lines were used just before the walk, and of the same without a walk.
#[derive(Clone, Copy, Debug)]
pub struct Control {
    data_bytes: usize,
    code_bytes: usize,
    load: [f64; 2],
    call: Option<[f64; 2]>,
}

impl Control {
    /// Measures it on the calling thread.
    pub fn measure() -> Self {
        let mut walk = Walk::new();
        let word = Box::new(1_u64);
        let load = with_and_without(&mut walk, || {
            black_box(*black_box(&*word));
        });
        let code = Code::new(64);
        let call = code.map(|code| with_and_without(&mut walk, || code.run()));
        Self { data_bytes: walk.data_bytes(), code_bytes: walk.code_bytes(), load, call }
    }
}

fn with_and_without(walk: &mut Walk, used: impl Fn()) -> [f64; 2] {
    const TIMES: usize = 501;
    let ticks = Ticks::new();
    [true, false].map(|walks| {
        let sample = |_| {
            used();
            if walks {
                walk.run();
            }
            ticks.time(&used)
        };
        let mut samples: Vec<f64> = (0..TIMES).map(sample).collect();
        samples.sort_by(f64::total_cmp);
        samples[TIMES / 2]
    })
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kibibytes = |bytes: usize| bytes / 1024;
        write!(
            f,
            "cold: {} KiB of data and {} KiB of code before each operation; a load of a line used \
             just before them takes {:.0} ns, without them {:.0} ns",
            kibibytes(self.data_bytes),
            kibibytes(self.code_bytes),
            self.load[0],
            self.load[1]
        )?;
        match self.call {
            Some([with, without]) => write!(f, "; a call {with:.0} and {without:.0} ns"),
            None => Ok(()),
        }
    }
}
