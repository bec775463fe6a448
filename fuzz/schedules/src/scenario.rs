//! What the threads do, decoded from the first bytes of an input.
//!
//! ```text
//! byte 0       capacity (3 bits), other capacity (3), real epochs instead of the contract reclaimer (1)
//! byte 1       keys that are stored before the threads start (3)
//! bytes 2..14  one step each: kind (4), key (2), thread (2)
//! ```
//!
//! Missing bytes are zero. Each field stands for itself, so that a mutation changes one thing.

use std::array;

/// Keys of a scenario.
pub const KEYS: Key = 3;

/// Threads of a scenario.
pub const THREADS: usize = 4;

/// Bytes before the schedule.
pub const HEADER_BYTES: usize = 14;

const CAPACITIES: [usize; 8] = [1, 2, 3, 4, 5, 6, 8, 20];

/// A key, below [`KEYS`].
pub type Key = u8;

/// One operation of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Adds an object that nobody else has.
    Add(Key),
    /// Adds the object of the key that all threads share.
    AddShared(Key),
    /// A counted lookup.
    Get(Key),
    /// A counted lookup whose handle is kept until the thread ends.
    Keep(Key),
    /// A lookup under a guard.
    Read(Key),
    /// Takes what is stored.
    Take(Key),
    /// Removes the shared object of the key, if it is what is stored.
    RemoveShared(Key),
    /// Removes whatever is stored.
    RemoveId(Key),
    /// Removes everything.
    Clear,
    /// Lists everything.
    Snapshot,
    /// Changes the capacity to the other one. At most once in a scenario.
    Resize,
    /// Pushes reclamation forward.
    Collect,
}

/// A small cache and what is done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// The capacity at first.
    pub capacity: usize,
    /// The capacity after a [`Step::Resize`].
    pub other_capacity: usize,
    /// Crossbeam's epochs instead of the reclaimer that frees at the first permitted moment.
    pub real_epoch: bool,
    /// Keys whose shared object is stored before the threads start.
    pub stored: Vec<Key>,
    /// What each thread does.
    pub threads: [Vec<Step>; THREADS],
}

impl Scenario {
    /// Splits an input into a scenario and the bytes of its schedule.
    pub fn decode(data: &[u8]) -> (Self, &[u8]) {
        let byte = |index: usize| data.get(index).copied().unwrap_or(0);
        let mut threads: [Vec<Step>; THREADS] = array::from_fn(|_| Vec::new());
        let mut is_resized = false;
        for byte in (2..HEADER_BYTES).map(byte) {
            let Some(step) = Step::decode(byte) else { continue };
            if step == Step::Resize && std::mem::replace(&mut is_resized, true) {
                continue;
            }
            threads[usize::from(byte >> 6)].push(step);
        }
        let scenario = Self {
            capacity: CAPACITIES[usize::from(byte(0) & 7)],
            other_capacity: CAPACITIES[usize::from(byte(0) >> 3 & 7)],
            real_epoch: byte(0) & 64 != 0,
            stored: (0..KEYS).filter(|key| byte(1) >> key & 1 != 0).collect(),
            threads,
        };
        (scenario, data.get(HEADER_BYTES..).unwrap_or_default())
    }
}

impl Step {
    fn decode(byte: u8) -> Option<Self> {
        let key = (byte >> 4 & 3) % KEYS;
        Some(match byte & 15 {
            0 => return None,
            1..=3 => Self::Add(key),
            4 | 5 => Self::AddShared(key),
            6 => Self::Get(key),
            7 => Self::Keep(key),
            8 => Self::Read(key),
            9 | 10 => Self::Take(key),
            11 => Self::RemoveShared(key),
            12 => Self::RemoveId(key),
            13 if key == 0 => Self::Clear,
            13 => Self::Snapshot,
            14 => Self::Resize,
            _ => Self::Collect,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{HEADER_BYTES, Scenario, Step};

    #[test]
    fn nothing_is_a_scenario_too() {
        let (scenario, schedule) = Scenario::decode(&[]);
        assert_eq!((scenario.capacity, scenario.stored.len(), schedule.len()), (1, 0, 0));
        assert!(scenario.threads.iter().all(Vec::is_empty));
    }

    #[test]
    fn fields_stand_for_themselves() {
        let mut data = [0; HEADER_BYTES + 2];
        data[0] = 1 | 7 << 3 | 64;
        data[1] = 0b101;
        data[2] = 9 | 2 << 4 | 3 << 6;
        data[3] = 14;
        data[4] = 14 | 1 << 6;
        data[HEADER_BYTES] = 42;
        let (scenario, schedule) = Scenario::decode(&data);
        assert_eq!(
            (scenario.capacity, scenario.other_capacity, scenario.real_epoch),
            (2, 20, true)
        );
        assert_eq!(scenario.stored, [0, 2]);
        assert_eq!(scenario.threads, [vec![Step::Resize], vec![], vec![], vec![Step::Take(2)]]);
        assert_eq!(schedule, [42, 0]);
    }
}
