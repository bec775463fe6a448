//! Sequences of operations on one thread.
//!
//! The first byte chooses the judge: the sequential reference model of `testkit`, which
//! foretells every answer, departure and counter; or `open`, where weights, modes and hooks that
//! call back make foretelling hopeless, and which checks what must hold in any case.
#![forbid(unsafe_code)]
#![no_main]

#[path = "operations/open.rs"]
mod open;

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::{Corpus, fuzz_target};
use open::Open;
use sessile::Policy;
use testkit::model::{ANY_SIZE, ONE_SET, Operation, Pair, Setting};

/// More operations than this in one input find nothing that fewer do not.
const OPERATIONS_MAX: usize = 120;

fuzz_target!(|data: &[u8]| -> Corpus {
    match run(&mut Unstructured::new(data)) {
        Ok(()) => Corpus::Keep,
        Err(_) => Corpus::Reject,
    }
});

fn run(input: &mut Unstructured<'_>) -> Result<()> {
    let judge: u8 = input.arbitrary()?;
    let (policy, protect, capacities) = match judge & 7 {
        0 => (Policy::Lru, false, ONE_SET),
        1 => (Policy::Lru, true, ONE_SET),
        2 => (Policy::Fifo, false, ONE_SET),
        3 => (Policy::SoonestExpiry, false, ONE_SET),
        4 => (Policy::Lru, false, ANY_SIZE),
        _ => return Open::new(judge, input)?.run(input),
    };
    let capacity = input.arbitrary()?;
    let setting = Setting { capacity, auto_flush: judge & 8 != 0, update_time: judge & 16 != 0 };
    let mut pair = Pair::new(setting, policy, protect, capacities);
    for _ in 0..OPERATIONS_MAX {
        let Ok([kind, a, b]) = input.arbitrary::<[u8; 3]>() else { break };
        pair.apply(Operation::decode((kind % Operation::KINDS, a, b)));
    }
    pair.finish();
    Ok(())
}
