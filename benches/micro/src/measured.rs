//! Running an operation.

use crate::Operation;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Runs that are counted. The averages then have four decimals, all of them exact.
pub const COUNTED: usize = 10_000;

/// Runs that are timed between two preparations: few enough for their inputs to stay in the nearest cache.
const CHUNK: usize = 256;

/// The only caller of operations, which callgrind knows by its name. Returns how many did what they should.
#[inline(never)]
pub fn measure<O: Operation>(operation: &O, inputs: &mut Vec<O::Input>) -> usize {
    let mut done = 0;
    for input in inputs.drain(..) {
        done += usize::from(operation.run(black_box(input)));
    }
    done
}

/// The time of `runs` runs, the preparations apart.
pub fn time<O: Operation>(operation: &mut O, runs: u64) -> Duration {
    let mut elapsed = Duration::ZERO;
    let mut left = runs;
    while left > 0 {
        let n = left.min(CHUNK as u64);
        let mut inputs = operation.prepare(n as usize);
        let start = Instant::now();
        let done = measure(operation, &mut inputs);
        elapsed += start.elapsed();
        assert_eq!(done as u64, n, "{} failed", O::NAME);
        left -= n;
    }
    elapsed
}
