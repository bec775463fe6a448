//! What one operation costs in a bare table of two buckets for each key (today's) and of one set of two adjacent lines.
//!
//! - `cargo run --release -p loom-tests --example one_set_cost`: nanoseconds of one operation after the first two levels of
//!   cache were overwritten, the cost of reading the clock included; medians, with the candidates in turns.
//! - the same with `RUSTFLAGS="--cfg sessile_counts"`: loads, locked instructions and cache lines of one operation, means.
//! - `valgrind --tool=callgrind --toggle-collect='*measured*' EXAMPLE 0 hit`: instructions of 1000 operations, of the
//!   candidate with this number.
//!
//! Tables of two sizes, the smaller one where nothing is timed, without sessions behind the slots, and without vector instructions.

#[cfg(sessile_loom)]
fn main() {
    println!("Measure without the cfg of the models.");
}

#[cfg(not(sessile_loom))]
fn main() {
    measure::main();
}

#[cfg(not(sessile_loom))]
mod measure {
    use loom_tests::candidates::one_set::{MATCHED, OneSet};
    use loom_tests::candidates::publication_word::{PublicationWord, SETTLED};
    use loom_tests::candidates::{Adder, Candidate};
    use std::hint::black_box;

    const SIZES: [u64; 2] = [20_480, 1_000_000];
    const OPERATIONS: u64 = 1000;
    const WORKS: [&str; 8] = ["nothing", "hit", "miss", "identical", "room", "full", "replace", "take"];
    const NAMES: [&str; 3] = ["two buckets", "one set", "matched"];

    /// Four objects in a row share a key.
    fn key_of(object: u64) -> u64 {
        let mut key = (object / 4).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        key = (key ^ (key >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        key ^ (key >> 32)
    }

    struct Bench<C> {
        sessions: u64,
        table: C,
        adder: Adder,
    }

    trait Subject {
        /// Does `measure` to the `n`th operation of some work, and leaves the table as full as it was.
        fn operate(&mut self, work: &str, n: u64, measure: &mut dyn FnMut(&mut dyn FnMut()));
    }

    #[inline(never)]
    fn measured<C: Candidate, R>(table: &C, key: u64, operation: impl FnOnce() -> R) -> R {
        if !cfg!(sessile_counts) {
            table.touch(key);
        }
        operation()
    }

    fn run<C: Candidate>(
        table: &C,
        adder: &mut Adder,
        work: &str,
        [object, other]: [u64; 2],
        measure: &mut dyn FnMut(&mut dyn FnMut()),
    ) {
        let key = key_of(object);
        measure(&mut || match work {
            "hit" | "miss" => _ = black_box(measured(table, key, || table.get(key))),
            "identical" | "room" | "full" => {
                _ = black_box(measured(table, key, || table.add(adder, key, object)))
            }
            "replace" => _ = black_box(measured(table, key, || table.add(adder, key, other))),
            "take" => _ = black_box(measured(table, key, || table.take(adder, key))),
            _ => _ = black_box(key),
        });
    }

    impl<C: Candidate> Bench<C> {
        fn boxed(buckets: u64, sessions: u64, adds: u64) -> Box<dyn Subject> {
            let (table, mut adder) = (C::new(buckets as usize, key_of), Adder::new(0));
            (0..adds).map(|n| 4 * n).for_each(|object| _ = table.add(&mut adder, key_of(object), object));
            Box::new(Self { sessions, table, adder })
        }
    }

    impl<C: Candidate> Subject for Bench<C> {
        fn operate(&mut self, work: &str, n: u64, measure: &mut dyn FnMut(&mut dyn FnMut())) {
            let Self { sessions, table, adder } = self;
            let stored = 4 * (n.wrapping_mul(7919 * 131) % *sessions);
            let absent = 4 * (*sessions * 1000 + n);
            let mut run =
                |adder: &mut Adder, object, other| run(table, adder, work, [object, other], measure);
            match work {
                "hit" | "nothing" | "identical" => run(adder, stored, stored),
                "replace" => {
                    run(adder, stored, stored + 1);
                    table.add(adder, key_of(stored), stored);
                }
                "room" => {
                    run(adder, absent, absent);
                    table.take(adder, key_of(absent));
                }
                "take" => {
                    table.add(adder, key_of(absent), absent);
                    run(adder, absent, absent);
                }
                _ => run(adder, absent, absent),
            }
            adder.evicted.clear();
        }
    }

    /// At the slots that each would have, or full to the last of them.
    fn subjects(work: &str, sessions: u64) -> [Box<dyn Subject>; 3] {
        let (two, one) = ((sessions * 7 / 5).div_ceil(7), (sessions * 8 / 5).div_ceil(15));
        let adds = if work == "full" { 8 * sessions } else { sessions };
        [
            Bench::<PublicationWord<7, SETTLED>>::boxed(two, sessions, adds),
            Bench::<OneSet<15, 0>>::boxed(one, sessions, adds),
            Bench::<OneSet<15, MATCHED>>::boxed(one, sessions, adds),
        ]
    }

    pub(super) fn main() {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        if let [subject, work] = &arguments[..] {
            let subject = &mut subjects(work, SIZES[0])[subject.parse::<usize>().expect("a number")];
            return (0..OPERATIONS).for_each(|n| subject.operate(work, n, &mut |operation| operation()));
        }
        print!("{:<10}{:>9}", "work", "sessions");
        NAMES.iter().for_each(|name| print!(" {name:>30}"));
        println!();
        let sizes = if cfg!(sessile_counts) { &SIZES[..1] } else { &SIZES };
        for &sessions in sizes {
            for work in WORKS {
                print!("{work:<10}{sessions:>9}");
                report(&mut subjects(work, sessions), work);
                println!();
            }
        }
    }

    #[cfg(sessile_counts)]
    fn report(subjects: &mut [Box<dyn Subject>; 3], work: &str) {
        use loom_tests::sync::counted;
        for subject in subjects {
            let mut sums = [0; 3];
            for n in 0..OPERATIONS {
                let mut counts = counted::Counts::default();
                subject.operate(work, n, &mut |operation| {
                    counted::take();
                    operation();
                    counts = counted::take();
                });
                let each = [counts.loads, counts.exchanges, counts.lines.len()];
                sums.iter_mut().zip(each).for_each(|(sum, count)| *sum += count);
            }
            let [loads, locked, lines] = sums.map(|sum| sum as f64 / OPERATIONS as f64);
            print!(" {:>30}", format!("{loads:.1} ld {locked:.2} lock {lines:.2} ln"));
        }
    }

    #[cfg(not(sessile_counts))]
    fn report(subjects: &mut [Box<dyn Subject>; 3], work: &str) {
        use std::time::Instant;
        let mut others = vec![0_u64; 4 << 17];
        let mut samples = [const { Vec::new() }; 3];
        for n in 0..OPERATIONS {
            for (subject, samples) in subjects.iter_mut().zip(&mut samples) {
                subject.operate(work, n, &mut |operation| {
                    others.iter_mut().step_by(8).for_each(|other| *other += n);
                    black_box(&others);
                    let began = Instant::now();
                    operation();
                    samples.push(began.elapsed().as_nanos());
                });
            }
        }
        for mut samples in samples {
            samples.sort_unstable();
            print!(" {:>30}", samples[samples.len() / 2]);
        }
    }
}
