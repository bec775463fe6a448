//! Running an operation.

use crate::Operation;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Runs that are counted. The averages then have four decimals, all of them exact.
pub const COUNTED: usize = 10_000;

/// Runs that are timed between two preparations: few enough for their inputs to stay in the nearest
/// cache.
const CHUNK: usize = 256;

/// The only caller of operations, which callgrind knows by its name. Returns how many did what they
/// should.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Time, Visitor, visit};
    use std::collections::BTreeSet;

    #[derive(Default)]
    struct Short(BTreeSet<&'static str>);

    impl Visitor for Short {
        fn visit<O: Operation>(&mut self, _sessions: usize) {
            if self.0.insert(O::NAME) {
                let mut operation = O::new(2048, Time::Still);
                for _ in 0..5 {
                    let mut inputs = operation.prepare(500);
                    assert_eq!(inputs.len(), 500);
                    assert_eq!(measure(&operation, &mut inputs), 500, "{}", O::NAME);
                }
            }
        }
    }

    #[test]
    fn every_operation_does_what_its_name_says() {
        let mut short = Short::default();
        visit(&mut short);
        assert!(!short.0.is_empty());
    }

    #[test]
    fn time_passes_by_chunks() {
        struct Nap(Vec<usize>);

        impl Operation for Nap {
            const NAME: &'static str = "nap";
            const SIZES: &'static [usize] = &[];
            type Input = ();

            fn new(_sessions: usize, _time: Time) -> Self {
                Self(Vec::new())
            }

            fn prepare(&mut self, n: usize) -> Vec<()> {
                // Not in the time.
                std::thread::sleep(Duration::from_millis(50));
                self.0.push(n);
                vec![(); n]
            }

            fn run(&self, (): ()) -> bool {
                true
            }
        }

        let mut nap = Nap::new(0, Time::Still);
        assert!(time(&mut nap, CHUNK as u64 * 2 + 1) < Duration::from_millis(100));
        assert_eq!(nap.0, [CHUNK, CHUNK, 1]);
    }
}
