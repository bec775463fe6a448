//! Is there an order that explains what was seen of one key? The search of Wing and Gong with
//! Lowe's memory.
//!
//! A key is in one of few states: nothing is stored under it, or one object is. Each step either
//! observes the state or changes it, at one moment within its interval. The search builds an order
//! step by step: a step may come next once everything that must come before it has; it must fit the
//! state. Which steps are done, and the state, is all that the rest depends on, so no such pair is
//! tried twice.
//!
//! A step that observes and fits may be taken at once: it changes nothing, so an order in which it
//! comes later still holds when it comes now. Only changes are chosen between.
//!
//! A step that has not returned may come last, or not at all.
#![forbid(unsafe_code)]

#[cfg(test)]
mod tests;

use std::collections::HashSet;

/// Steps are counted in the bits of a word.
pub const STEPS_MAX: usize = u128::BITS as usize;

/// The stamp of a return that was not seen.
pub const PENDING: u64 = u64::MAX;

/// What a step does, objects being numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// What is stored is seen.
    Observe {
        /// It may be nothing.
        absent: bool,
        /// It may be one of these objects, a bit each.
        objects: u128,
    },
    /// What is stored changes.
    Change {
        /// From this object, or nothing.
        from: Option<u8>,
        /// To this object, or nothing.
        to: Option<u8>,
    },
}

/// One step of one key's history.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// When it began.
    pub invoked: u64,
    /// When it had ended, or [`PENDING`].
    pub returned: u64,
    /// Steps of one thread come in the order of their places, others in that of their stamps.
    pub thread: usize,
    /// The place in its thread's order. Steps of one call share it: their order is not known.
    pub place: usize,
    /// What it does.
    pub effect: Effect,
}

impl Step {
    /// Whether this step ended before the other began.
    fn precedes(&self, other: &Self, margin: u64) -> bool {
        if self.thread == other.thread {
            return self.place < other.place;
        }
        self.returned.saturating_add(margin) < other.invoked
    }
}

/// Whether some order of the steps explains them all. Stamps of two threads tell an order only
/// where they are more than `margin` apart.
///
/// # Panics
/// With more than [`STEPS_MAX`] steps.
pub fn is_linearizable(initial: Option<u8>, steps: &[Step], margin: u64) -> bool {
    assert!(steps.len() <= STEPS_MAX, "a history of {} steps", steps.len());
    let before = |step: &Step| bits(steps, |other| other.precedes(step, margin));
    let search = Search {
        steps,
        before: steps.iter().map(before).collect(),
        required: bits(steps, |step| step.returned != PENDING),
    };
    search.reaches_end(0, initial, &mut HashSet::new())
}

fn bits(steps: &[Step], is_in: impl Fn(&Step) -> bool) -> u128 {
    steps.iter().enumerate().filter(|(_, step)| is_in(step)).map(|(nth, _)| 1 << nth).sum()
}

struct Search<'h> {
    steps: &'h [Step],
    /// For each step, those that must come before it.
    before: Vec<u128>,
    /// Steps that must have been done.
    required: u128,
}

impl Search<'_> {
    fn reaches_end(
        &self,
        done: u128,
        state: Option<u8>,
        seen: &mut HashSet<(u128, Option<u8>)>,
    ) -> bool {
        let done = self.observe(done, state);
        if self.required & !done == 0 {
            return true;
        }
        if !seen.insert((done, state)) {
            return false;
        }
        self.next(done).any(|nth| match self.steps[nth].effect {
            Effect::Change { from, to } if from == state => {
                self.reaches_end(done | 1 << nth, to, seen)
            }
            _ => false,
        })
    }

    /// Takes every observation that fits, until none does.
    fn observe(&self, mut done: u128, state: Option<u8>) -> u128 {
        loop {
            let fits = |nth: &usize| match self.steps[*nth].effect {
                Effect::Observe { absent, objects } => {
                    state.map_or(absent, |object| objects & (1 << object) != 0)
                }
                Effect::Change { .. } => false,
            };
            let fitting: u128 = self.next(done).filter(fits).map(|nth| 1 << nth).sum();
            if fitting == 0 {
                return done;
            }
            done |= fitting;
        }
    }

    /// The steps that may come next.
    fn next(&self, done: u128) -> impl Iterator<Item = usize> + '_ {
        let is_next = move |nth: &usize| done & (1 << nth) == 0 && self.before[*nth] & !done == 0;
        (0..self.steps.len()).filter(is_next)
    }
}
