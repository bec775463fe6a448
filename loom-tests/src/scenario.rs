//! Scenarios as data: who does what to a table, and the judgement of what came out.

use crate::candidates::{Adder, Candidate, KeyOf, Outcome};
use crate::history::{Event, explains};
use crate::thread;
use std::sync::Arc;

/// One operation.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Add this object under its key.
    Add(u64),
    /// Add this object, which is absent, and die when that is decided and not yet visible.
    Abandon(u64),
    /// Take what this key holds.
    Take(u64),
    /// Look this key up.
    Get(u64),
    /// Do only what an adder of this key does for others.
    Help(u64),
    /// Move everything to a larger table, and sleep for ever after this many steps.
    Move(usize),
}

/// A table, what is put into it first, and what each thread does. The last thread is the one that runs the scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Buckets of the table.
    pub buckets: usize,
    /// The key of an object.
    pub key_of: KeyOf,
    /// Done before the threads start.
    pub before: &'static [Step],
    /// The steps of each thread.
    pub threads: &'static [&'static [Step]],
}

type Log = Vec<(u64, Event)>;

impl Scenario {
    /// Runs the threads on a fresh table of candidate `C` and judges the result.
    ///
    /// # Panics
    /// When two members of a key were visible at once, when no order of operations explains the reports, or when
    /// something unfinished is left behind.
    pub fn run<C: Candidate>(&self) {
        let table = Arc::new(C::new(self.buckets, self.key_of));
        let mut first = Actor::new(Arc::clone(&table), self.key_of, 0);
        first.steps(self.before);
        let (mine, others) = self.threads.split_last().expect("a scenario has threads");
        let spawn = |(number, &steps): (usize, &&'static [Step])| {
            let mut actor = Actor::new(Arc::clone(&table), self.key_of, number as u64 + 1);
            thread::spawn(move || {
                actor.steps(steps);
                actor.log
            })
        };
        let handles: Vec<_> = others.iter().enumerate().map(spawn).collect();
        let before = table.members();
        first.log.clear();
        first.steps(mine);
        let mut logs: Vec<Log> = handles.into_iter().map(|handle| handle.join().expect("a thread")).collect();
        logs.push(first.log);
        // Whoever meets one that died makes it visible, at any time.
        let died = self.before.iter().filter_map(|step| match *step {
            Step::Abandon(object) => Some(vec![((self.key_of)(object), Event::Inserted(object))]),
            _ => None,
        });
        logs.extend(died);
        self.judge(&*table, &before, &logs);
    }

    fn judge<C: Candidate>(&self, table: &C, before: &[u64], logs: &[Log]) {
        table.assert_unique();
        assert!(table.is_settled(), "something unfinished is left behind");
        let left = table.members();
        let mut keys: Vec<u64> = logs.iter().flatten().map(|&(key, _)| key).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let of_key = |log: &Log| log.iter().filter(|event| event.0 == key).map(|event| event.1).collect();
            let threads: Vec<Vec<Event>> = logs.iter().map(of_key).collect();
            let holds =
                |objects: &[u64]| objects.iter().copied().find(|&object| (self.key_of)(object) == key);
            let (before, after) = (holds(before), holds(&left));
            assert!(
                explains(&threads, before, after),
                "no order explains {threads:?}, from {before:?} to {after:?}"
            );
        }
    }
}

struct Actor<C> {
    table: Arc<C>,
    key_of: KeyOf,
    adder: Adder,
    log: Log,
}

impl<C: Candidate> Actor<C> {
    fn new(table: Arc<C>, key_of: KeyOf, number: u64) -> Self {
        Self { table, key_of, adder: Adder::new(number), log: Log::new() }
    }

    fn steps(&mut self, steps: &[Step]) {
        steps.iter().for_each(|&step| self.step(step));
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Add(object) => self.add(object, C::add),
            Step::Abandon(object) => self.add(object, C::abandon),
            Step::Take(key) => self.log.push((key, Event::Taken(self.table.take(&mut self.adder, key)))),
            Step::Get(key) => self.log.push((key, Event::Got(self.table.get(key)))),
            Step::Help(key) => self.table.help(key),
            Step::Move(steps) => {
                self.table.migrate(&mut self.adder, steps);
                self.note_evicted();
            }
        }
    }

    fn note_evicted(&mut self) {
        for evicted in self.adder.evicted.drain(..) {
            self.log.push(((self.key_of)(evicted), Event::Evicted(evicted)));
        }
    }

    fn add(&mut self, object: u64, add: fn(&C, &mut Adder, u64, u64) -> Outcome) {
        let key = (self.key_of)(object);
        let outcome = add(&self.table, &mut self.adder, key, object);
        self.note_evicted();
        let event = match outcome {
            Outcome::Inserted => Event::Inserted(object),
            Outcome::Replaced(old) => Event::Replaced(object, old),
            Outcome::Identical => Event::Identical(object),
        };
        self.log.push((key, event));
    }
}
