//! The time of each operation, by criterion.
//!
//! `cargo bench -p micro`; `cargo bench -p micro -- take` for those whose name contains it.
//! Operations are timed in chunks, whose inputs are made in between and not timed.

#![allow(missing_docs, reason = "criterion's macros make functions without any")]

use criterion::{Criterion, criterion_group, criterion_main};
use micro::{Operation, Time, Visitor, time, visit};

struct Bench<'c>(&'c mut Criterion);

impl Visitor for Bench<'_> {
    fn visit<O: Operation>(&mut self, sessions: usize) {
        // Made when it is first run: a filter may not want it.
        let mut made = None;
        self.0.bench_function(&format!("{}, {sessions} sessions", O::NAME), |bencher| {
            let operation = made.get_or_insert_with(|| O::new(sessions, Time::Coarse));
            bencher.iter_custom(|runs| time(operation, runs));
        });
    }
}

fn operations(criterion: &mut Criterion) {
    visit(&mut Bench(criterion));
}

criterion_group!(benches, operations);
criterion_main!(benches);
