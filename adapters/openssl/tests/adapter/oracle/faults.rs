//! Sessile with something wrong: the comparison must find each of these.

use std::collections::{BTreeMap, BTreeSet};

use sessile::Policy;

use super::libssl::Libssl;
use super::object::Key;
use super::ours::Ours;
use super::sequence::play;
use super::subject::Subject;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Nothing: to see that the disguise itself is not found.
    None,
    /// The identical object is answered as if it were new.
    IdenticalChanges,
    /// Removing what is not there is answered as a success.
    RemovesTwice,
    /// Another object with the key stays.
    KeepsTheOld,
    /// First in, first out.
    EvictsTheEldest,
    /// A size of `n` holds one less.
    HoldsOneLess,
    /// A flush takes what is still valid for a while.
    FlushesTooMuch,
    /// A changed timeout does not change the order of eviction.
    ForgetsTimeouts,
    /// One reference too many is taken by an add.
    LeaksAReference,
    /// The callback is not told of a removal.
    IsSilent,
    /// An eviction is not counted.
    CountsTooLittle,
}

struct Faulty {
    fault: Fault,
    inner: Ours,
}

impl Subject for Faulty {
    fn make(&mut self, serial: u64, key: Key, age: i64, timeout: i64) {
        self.inner.make(serial, key, age, timeout);
    }

    fn release(&mut self, serial: u64) {
        self.inner.release(serial);
    }

    fn add(&mut self, serial: u64) -> u64 {
        match self.fault {
            Fault::LeaksAReference => std::mem::forget(self.inner.object(serial).clone()),
            Fault::KeepsTheOld => {
                let key = super::libssl::key_of(self.inner.object(serial));
                if self.inner.stored().contains_key(&key) {
                    return 0;
                }
            }
            _ => {}
        }
        let changed = self.inner.add(serial);
        if self.fault == Fault::IdenticalChanges { 1 } else { changed }
    }

    fn remove(&mut self, serial: u64) -> u64 {
        let removed = self.inner.remove(serial);
        if self.fault == Fault::RemovesTwice { 1 } else { removed }
    }

    fn set_timeout(&mut self, serial: u64, seconds: i64) {
        if self.fault == Fault::ForgetsTimeouts {
            return super::object::set_timeout(self.inner.object(serial), seconds);
        }
        self.inner.set_timeout(serial, seconds);
    }

    fn flush(&mut self, time: i64) -> u64 {
        let later = if self.fault == Fault::FlushesTooMuch && time > 0 { 100 } else { 0 };
        self.inner.flush(time + later)
    }

    fn set_capacity(&mut self, sessions: usize) -> usize {
        let is_short = self.fault == Fault::HoldsOneLess && sessions > 1;
        let former = self.inner.set_capacity(if is_short { sessions - 1 } else { sessions });
        former + usize::from(is_short)
    }

    fn set_update_time(&mut self, update: bool) {
        self.inner.set_update_time(update);
    }

    fn stored(&mut self) -> BTreeMap<Key, u64> {
        self.inner.stored()
    }

    fn told(&mut self) -> Vec<Key> {
        let told = self.inner.told();
        if self.fault == Fault::IsSilent { Vec::new() } else { told }
    }

    fn counters(&mut self) -> [u64; 2] {
        let [number, cache_full] = self.inner.counters();
        [number, if self.fault == Fault::CountsTooLittle { cache_full / 2 } else { cache_full }]
    }

    fn living(&mut self) -> BTreeSet<u64> {
        self.inner.living()
    }
}

/// The number of sequences after which the fault was found; `None` if it was not, in a thousand.
fn found_after(fault: Fault) -> Option<u64> {
    let mut libssl = Libssl::new();
    (0..1_000).find(|seed| {
        let policy =
            if fault == Fault::EvictsTheEldest { Policy::Fifo } else { Policy::SoonestExpiry };
        let mut faulty = Faulty { fault, inner: Ours::new(policy) };
        libssl.reset();
        play(*seed, [&mut libssl, &mut faulty]).is_err()
    })
}

#[test]
fn every_fault_is_found() {
    for fault in [
        Fault::IdenticalChanges,
        Fault::RemovesTwice,
        Fault::KeepsTheOld,
        Fault::EvictsTheEldest,
        Fault::HoldsOneLess,
        Fault::FlushesTooMuch,
        Fault::ForgetsTimeouts,
        Fault::LeaksAReference,
        Fault::IsSilent,
        Fault::CountsTooLittle,
    ] {
        let found = found_after(fault);
        println!("{fault:?}: found in sequence {found:?}");
        assert!(found.is_some(), "{fault:?} was not found");
    }
    assert_eq!(found_after(Fault::None), None);
}

#[test]
fn a_difference_says_what_it_is() {
    let mut libssl = Libssl::new();
    let mut faulty = Faulty { fault: Fault::RemovesTwice, inner: Ours::new(Policy::SoonestExpiry) };
    let difference = play(0, [&mut libssl, &mut faulty]).unwrap_err().to_string();
    assert!(difference.contains("seed 0, step") && difference.contains("Remove"), "{difference}");
}
