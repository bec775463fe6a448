//! `census`: does one operation again and again on a store in its steady state, each between two
//! marks, for somebody who traces it: `cargo xtask counts`.
//!
//! It prints the addresses of the marks and waits for a line before it begins.

#![forbid(unsafe_code)]

use clap::{Parser, ValueEnum};
use std::hint::black_box;
use std::io::{self, Write};
use std::sync::Arc;
use stores::Job;
use stores::peers::{Cache, DashMap, RwLockHashbrown, Sessile};
use stores::store::{Own, Store};
use stores::throttle::Throttle;
use stores::workloads::{Kernel, Meter, Operation, popularity, run};

/// Does one operation again and again, each between two marks.
#[derive(Debug, Parser)]
#[command(name = "census")]
struct Options {
    #[arg(long, value_enum)]
    store: Name,
    #[arg(long, value_enum)]
    operation: Operation,
    /// Sessions that the store holds.
    #[arg(long)]
    sessions: u64,
    #[arg(long)]
    times: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Name {
    Sessile,
    Dashmap,
    RwlockHashbrown,
    SccCache,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    match options.store {
        Name::Sessile => census::<Sessile<false>>(&options),
        Name::Dashmap => census::<DashMap<Own>>(&options),
        Name::RwlockHashbrown => census::<RwLockHashbrown<Own>>(&options),
        Name::SccCache => census::<Cache<Own>>(&options),
    }
}

fn census<S: Store>(options: &Options) -> io::Result<()> {
    // Where all threads would find it, and not on this one's stack.
    let store = Arc::new(S::with_capacity(options.sessions as usize));
    let mut job = Job {
        kernel: Kernel::Prefill,
        capacity: options.sessions,
        threads: 1,
        first: 0,
        ops: 0,
        seed: 0,
        popularity: popularity(options.sessions, 1),
        throttle: Arc::new(Throttle::new(1)),
    };
    for (kernel, ops) in options.operation.preparation().runs(S::SEARCHES, options.sessions) {
        job = Job { kernel, ops, ..job };
        run(&*store, &job, 0);
        job.first += kernel.advance(ops);
    }
    // What is done once is done before.
    job.ops = options.times;
    for is_counted in [false, true] {
        if is_counted {
            println!("{:x} {:x}", begin as *const () as usize, end as *const () as usize);
            io::stdout().flush()?;
            io::stdin().read_line(&mut String::new())?;
        }
        job.seed += 1;
        let sample = options.operation.run(&*store, &job, 0, &mut Marks);
        let expected = if options.operation == Operation::Miss { 0 } else { sample.lookups };
        if sample.hits != expected {
            return Err(io::Error::other(format!("{} of {expected} lookups hit", sample.hits)));
        }
        job.first += if options.operation.adds() { job.ops } else { 0 };
    }
    Ok(())
}

/// Calls a function before each operation and another one after it.
struct Marks;

impl Meter for Marks {
    #[inline]
    fn take<R>(&mut self, operation: impl FnOnce() -> R) -> R {
        begin();
        let result = black_box(operation());
        end();
        result
    }
}

#[inline(never)]
fn begin() {
    black_box(1);
}

/// Another constant, for the linker may fold what is the same.
#[inline(never)]
fn end() {
    black_box(2);
}
