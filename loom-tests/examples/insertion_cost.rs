//! What the insertion protocols cost: `cargo run --release -p loom-tests --example insertion_cost`.
//!
//! Tables of 64-byte buckets with seven slots, full, without sessions behind the slots: the difference between two
//! columns is the difference between two protocols and nothing else. Candidates take turns within a round; a figure is
//! the median over the rounds, in nanoseconds per iteration and thread.

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
    use loom_tests::candidates::claim_and_rescan::{self as rescan, ClaimAndRescan};
    use loom_tests::candidates::control_word::ControlWord;
    use loom_tests::candidates::publication_word::{self as publication, PublicationWord};
    use loom_tests::candidates::{AS_DESCRIBED, Adder, Candidate};
    use std::hint::black_box;
    use std::sync::Barrier;
    use std::thread;
    use std::time::Instant;

    const ROUNDS: usize = 11;
    const ITERATIONS: u64 = 200_000;
    const SIZES: [usize; 2] = [20_480, 1_000_000];
    const THREADS_MAX: usize = 2;
    /// How many iterations after its insertion a key is taken or replaced.
    const LAG: u64 = 32;

    /// What one iteration does.
    #[derive(Clone, Copy, Debug)]
    enum Work {
        /// Adds an absent key to a full set: a victim goes.
        Add,
        /// Adds an absent key and takes one that was added before.
        AddTake,
        /// Adds an absent key and replaces one that was added before.
        AddReplace,
    }

    /// Two objects in a row share a key.
    fn key_of(object: u64) -> u64 {
        let mut key = (object / 2).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        key = (key ^ (key >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        key ^ (key >> 32)
    }

    /// A full table and the adders that work on it.
    struct Bench<C> {
        table: C,
        adders: Vec<(Adder, u64)>,
    }

    trait Subject {
        fn run(&mut self, work: Work, threads: usize) -> f64;
    }

    impl<C: Candidate> Bench<C> {
        fn boxed(entries: usize) -> Box<dyn Subject> {
            let adders = (0..THREADS_MAX as u64).map(|number| (Adder::new(number), number << 40)).collect();
            let mut bench = Self { table: C::new(entries.div_ceil(7), key_of), adders };
            for _ in 0..(8 * entries as u64).div_ceil(ITERATIONS) {
                bench.run(Work::Add, 1);
            }
            Box::new(bench)
        }

        fn iterate(table: &C, adder: &mut Adder, object: &mut u64, work: Work) {
            for iteration in 0..ITERATIONS {
                black_box(table.add(adder, key_of(*object), *object));
                // Not below the first object of the thread.
                let earlier = object.saturating_sub(2 * LAG);
                match work {
                    Work::Add => {}
                    Work::AddTake => _ = black_box(table.take(adder, key_of(earlier))),
                    Work::AddReplace => _ = black_box(table.add(adder, key_of(earlier), earlier + 1)),
                }
                *object += 2;
                if iteration % 256 == 0 {
                    adder.evicted.clear();
                }
            }
        }
    }

    impl<C: Candidate> Subject for Bench<C> {
        fn run(&mut self, work: Work, threads: usize) -> f64 {
            let (table, start) = (&self.table, Barrier::new(threads));
            let timed = |(adder, object): &mut (Adder, u64)| {
                start.wait();
                let began = Instant::now();
                Self::iterate(table, adder, object, work);
                began.elapsed().as_nanos() as f64 / ITERATIONS as f64
            };
            let total: f64 = thread::scope(|scope| {
                let spawn = |adder| scope.spawn(move || timed(adder));
                let handles: Vec<_> = self.adders.iter_mut().take(threads).map(spawn).collect();
                handles.into_iter().map(|handle| handle.join().expect("a measured thread")).sum()
            });
            total / threads as f64
        }
    }

    fn median(mut samples: Vec<f64>) -> f64 {
        samples.sort_by(f64::total_cmp);
        samples[samples.len() / 2]
    }

    type Floor = PublicationWord<7, { publication::NO_PUBLICATION }>;
    type Rescan = ClaimAndRescan<7, { rescan::MARKED }>;
    type Publication = PublicationWord<7, AS_DESCRIBED>;
    type Settled = PublicationWord<7, { publication::SETTLED }>;
    type Control = ControlWord<7, AS_DESCRIBED>;

    const NAMES: [&str; 5] = ["claim+open only", "A rescan", "B publication", "B settled", "C control"];

    pub(super) fn main() {
        print!("{:<8} {:>8} {:>8}", "work", "entries", "threads");
        NAMES.iter().for_each(|name| print!(" {name:>18}"));
        println!("   (ns, ratio to A)");
        for entries in SIZES {
            let mut subjects = [
                Bench::<Floor>::boxed(entries),
                Bench::<Rescan>::boxed(entries),
                Bench::<Publication>::boxed(entries),
                Bench::<Settled>::boxed(entries),
                Bench::<Control>::boxed(entries),
            ];
            for work in [Work::Add, Work::AddTake, Work::AddReplace] {
                for threads in 1..=THREADS_MAX {
                    report(&mut subjects, work, entries, threads);
                }
            }
        }
    }

    fn report(subjects: &mut [Box<dyn Subject>; 5], work: Work, entries: usize, threads: usize) {
        let mut samples: [Vec<f64>; 5] = Default::default();
        for _ in 0..ROUNDS {
            for (subject, samples) in subjects.iter_mut().zip(&mut samples) {
                samples.push(subject.run(work, threads));
            }
        }
        let medians = samples.map(median);
        print!("{:<8} {entries:>8} {threads:>8}", format!("{work:?}"));
        medians.iter().for_each(|ns| print!(" {ns:>11.1} ({:>4.2})", ns / medians[1]));
        println!();
    }
}
