//! Random operations, played to libssl and to another subject.

use std::fmt;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sessile::Policy;

use super::SEQUENCES;
use super::libssl::Libssl;
use super::object::{Key, unix_now};
use super::ours::Ours;
use super::subject::{Seen, Subject};

/// Threads that play them.
const THREADS: u64 = 2;

const OPERATIONS: usize = 32;

/// Objects at a time; more than keys, so that one often meets another with its key.
const OBJECTS: usize = 14;

const IDS: u8 = 5;
const VERSIONS: [u16; 2] = [0x0303, 0x0304];

/// The key of the object that is added after a change of the capacity, and has it alone.
const NEWCOMER: Key = Key { version: VERSIONS[0], id: IDS };

/// Every key that occurs.
pub(crate) fn keys() -> impl Iterator<Item = Key> {
    let common =
        VERSIONS.into_iter().flat_map(|version| (0..IDS).map(move |id| Key { version, id }));
    common.chain([NEWCOMER])
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    Add {
        slot: usize,
    },
    Remove {
        slot: usize,
    },
    SetTimeout {
        slot: usize,
        seconds: i64,
    },
    /// Flushes what is expired after so many seconds from now, or everything.
    Flush {
        after: Option<i64>,
    },
    /// Changes the capacity, and adds what is not stored: only then does libssl evict, Sessile did
    /// at once.
    Resize {
        capacity: usize,
    },
    /// Gives the reference to an object up and makes another one.
    Renew {
        slot: usize,
    },
}

/// The first thing in which two subjects differed.
#[derive(Debug)]
pub(crate) struct Difference {
    seed: u64,
    step: usize,
    operation: Operation,
    libssl: Seen,
    other: Seen,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, step, operation, libssl, other } = self;
        write!(f, "seed {seed}, step {step}, {operation:?}:\nlibssl {libssl:#?}\nother  {other:#?}")
    }
}

/// What a player knows of the objects: who they are, and when they expire.
struct Player {
    random: StdRng,
    /// The serial number of the object in each slot.
    slots: Vec<u64>,
    newcomer: u64,
    /// Objects made.
    serial: u64,
    /// No two objects expire within a hundred seconds of each other, so that the order of eviction
    /// is one.
    expiries: i64,
    update_time: bool,
}

impl Player {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let update_time = random.random_ratio(1, 4);
        Self { random, slots: Vec::new(), newcomer: 0, serial: 0, expiries: 0, update_time }
    }

    /// A timeout that was not given before: in hundreds of seconds, of an order of its own.
    fn timeout(&mut self) -> i64 {
        self.expiries += 1;
        // 101 is a prime: the first hundred are a shuffle.
        10_000 + 100 * (self.expiries * 37 % 101) + 20_000 * (self.expiries / 101)
    }

    fn key(&mut self) -> Key {
        let version = VERSIONS[self.random.random_range(0..VERSIONS.len())];
        Key { version, id: self.random.random_range(0..IDS) }
    }

    fn operation(&mut self) -> Operation {
        let slot = self.random.random_range(0..OBJECTS);
        match self.random.random_range(0..100) {
            0..50 => Operation::Add { slot },
            50..66 => Operation::Remove { slot },
            66..74 => Operation::SetTimeout { slot, seconds: self.timeout() },
            74..82 => {
                let after = self.random.random_range(0..30_000) / 100 * 100 + 50;
                Operation::Flush { after: self.random.random_ratio(9, 10).then_some(after) }
            }
            82..88 => {
                let capacities = [0, 1, 2, 3, 4, 5, 7, 9, 12];
                let capacity = capacities[self.random.random_range(0..capacities.len())];
                Operation::Resize { capacity }
            }
            _ => Operation::Renew { slot },
        }
    }

    fn make(&mut self, subjects: &mut [&mut dyn Subject; 2], key: Key) -> u64 {
        self.serial += 1;
        let (serial, timeout) = (self.serial, self.timeout());
        for subject in subjects {
            // Adds that date anew move these by less than what lies between two expiries.
            subject.make(serial, key, 30, timeout);
        }
        serial
    }
}

/// Plays one sequence to both; libssl is the first.
pub(crate) fn play(seed: u64, mut subjects: [&mut dyn Subject; 2]) -> Result<(), Box<Difference>> {
    let mut player = Player::new(seed);
    for subject in &mut subjects {
        subject.set_update_time(player.update_time);
        subject.set_capacity(6);
    }
    for _ in 0..OBJECTS {
        let key = player.key();
        let made = player.make(&mut subjects, key);
        player.slots.push(made);
    }
    player.newcomer = player.make(&mut subjects, NEWCOMER);
    for step in 0..OPERATIONS {
        let operation = player.operation();
        let renewed = match operation {
            Operation::Renew { .. } => {
                let key = player.key();
                Some(player.make(&mut subjects, key))
            }
            _ => None,
        };
        let looks_at_living = renewed.is_some() || step + 1 == OPERATIONS;
        let [libssl, other] = subjects.each_mut().map(|subject| {
            let answer = perform(&mut **subject, operation, &player);
            see(&mut **subject, answer, looks_at_living)
        });
        if let (Operation::Renew { slot }, Some(made)) = (operation, renewed) {
            player.slots[slot] = made;
        }
        if libssl != other {
            return Err(Box::new(Difference { seed, step, operation, libssl, other }));
        }
    }
    finish(seed, &player, subjects)
}

/// Everything is given up and flushed: nothing may be left.
fn finish(
    seed: u64,
    player: &Player,
    mut subjects: [&mut dyn Subject; 2],
) -> Result<(), Box<Difference>> {
    let operation = Operation::Flush { after: None };
    let [libssl, other] = subjects.each_mut().map(|subject| {
        player.slots.iter().for_each(|serial| subject.release(*serial));
        subject.release(player.newcomer);
        let answer = subject.flush(0);
        see(&mut **subject, answer, true)
    });
    if libssl != other || !other.living.is_empty() {
        return Err(Box::new(Difference { seed, step: OPERATIONS, operation, libssl, other }));
    }
    Ok(())
}

fn perform(subject: &mut dyn Subject, operation: Operation, player: &Player) -> u64 {
    let serial = |slot: usize| player.slots[slot];
    match operation {
        Operation::Add { slot } => subject.add(serial(slot)),
        Operation::Remove { slot } => subject.remove(serial(slot)),
        Operation::SetTimeout { slot, seconds } => {
            subject.set_timeout(serial(slot), seconds);
            0
        }
        Operation::Flush { after } => subject.flush(after.map_or(0, |after| unix_now() + after)),
        Operation::Resize { capacity } => {
            subject.remove(player.newcomer);
            let former = subject.set_capacity(capacity);
            former as u64 * 2 + subject.add(player.newcomer)
        }
        Operation::Renew { slot } => {
            subject.release(serial(slot));
            0
        }
    }
}

fn see(subject: &mut dyn Subject, answer: u64, looks_at_living: bool) -> Seen {
    let mut told = subject.told();
    told.sort_unstable();
    Seen {
        answer,
        stored: subject.stored(),
        told,
        counters: subject.counters(),
        living: if looks_at_living { subject.living() } else { Default::default() },
    }
}

#[test]
fn libssl_and_sessile_do_the_same() {
    let played: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    let mut libssl = Libssl::new();
                    let seeds = (thread..SEQUENCES).step_by(THREADS as usize);
                    seeds.map(|seed| play_anew(seed, &mut libssl)).sum::<u64>()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no difference")).sum()
    });
    assert_eq!(played, SEQUENCES);
    println!("{played} sequences of {OPERATIONS} operations, 0 differences");
}

fn play_anew(seed: u64, libssl: &mut Libssl) -> u64 {
    let mut ours = Ours::new(Policy::SoonestExpiry);
    libssl.reset();
    if let Err(difference) = play(seed, [libssl, &mut ours]) {
        panic!("{difference}");
    }
    1
}
