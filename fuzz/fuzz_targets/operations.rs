//! Sequences of operations on one thread.
//!
//! The first byte chooses the judge: the sequential reference model of `tests/model`, which
//! foretells every answer, departure and counter; or `open`, where weights, modes and hooks that
//! call back make foretelling hopeless, and which checks what must hold in any case.
#![forbid(unsafe_code)]
#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "operations/open.rs"]
mod open;
#[path = "../../tests/model/operation.rs"]
mod operation;
#[path = "../../tests/model/pair.rs"]
mod pair;
#[path = "../../tests/model/reference.rs"]
mod reference;

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::{Corpus, fuzz_target};
use open::Open;
use operation::{Operation, Setting};
use pair::Pair;
use sessile::Policy;

/// More operations than this in one input find nothing that fewer do not.
const OPERATIONS_MAX: usize = 120;

/// Tables of one set, where the model foretells who is evicted.
const ONE_SET: &[usize] = &[1, 2, 3, 5, 8, 13, 14];
/// Tables of any size.
const ANY: &[usize] = &[15, 16, 17, 20, 1, 14, 15, 31, 32, 33];

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
        4 => (Policy::Lru, false, ANY),
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
