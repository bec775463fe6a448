//! One thread's life: calls by chance on all caches, and a few handles that it leaves behind when
//! it exits.

use super::caches::{Caches, Subject, session, verify, watching_hooks};
use super::payload::Payload;
use sessile::{Added, Context, Handshake, Hooks, Session, SessionId};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use testkit::id;

/// Handles that a thread keeps of what it met.
const HELD_MAX: usize = 16;

/// Calls between two reports of progress.
const CALLS_PER_REPORT: u64 = 4096;

pub(super) struct Worker<'c> {
    caches: &'c Caches,
    random: fastrand::Rng,
    held: Vec<Session<Payload>>,
    payload_bytes: usize,
}

impl<'c> Worker<'c> {
    pub(super) fn new(caches: &'c Caches, seed: u64, payload_bytes: usize) -> Self {
        Self { caches, random: fastrand::Rng::with_seed(seed), held: Vec::new(), payload_bytes }
    }

    /// Makes so many calls and exits: what its calls retired, and handles it holds, are its
    /// leftovers.
    pub(super) fn live(mut self, calls: u64, done: &AtomicU64) {
        let mut reported = 0;
        for call in 1..=calls {
            self.call();
            if call % CALLS_PER_REPORT == 0 || call == calls {
                done.fetch_add(call - reported, Ordering::Relaxed);
                reported = call;
            }
        }
    }

    fn call(&mut self) {
        let subject = &self.caches.subjects[self.random.usize(..self.caches.subjects.len())];
        let number = self.random.u64(..subject.ids);
        let id = id(number);
        match self.random.u32(..10_000) {
            0..2_500 => self.add(subject, number),
            2_500..3_100 => self.add_again(subject),
            3_100..5_100 => {
                let found = subject.cache.get(&id);
                self.meet(found);
            }
            5_100..7_300 => {
                subject.cache.read(&id, verify);
            }
            7_300..7_600 => self.give_back(subject, number, &id),
            7_600..8_300 => {
                let taken = subject.cache.take(&id);
                self.meet(taken);
            }
            8_300..8_700 => self.remove(subject),
            8_700..9_000 => {
                subject.cache.remove_id(&id);
            }
            9_000..9_700 => self.in_a_view(subject, number, &id),
            9_700..9_950 => self.change_a_held_one(),
            rare => self.administer(subject, rare),
        }
    }

    fn context(&mut self) -> Context {
        [Context::NONE, Context::from_bytes([1; 32]), Context::from_bytes([2; 32])]
            [self.random.usize(..3)]
    }

    /// Reads a session and keeps the handle for a while.
    fn meet(&mut self, session: Option<Session<Payload>>) {
        let Some(session) = session else { return };
        verify(&session);
        if self.held.len() == HELD_MAX {
            self.held.swap_remove(self.random.usize(..HELD_MAX));
        }
        self.held.push(session);
    }

    fn add(&mut self, subject: &Subject, number: u64) {
        let new = session(number, Context::NONE, self.payload_bytes);
        let kept = (self.random.u8(..8) == 0).then(|| new.clone());
        if let Ok(Added::Replaced(old)) = subject.cache.add(new) {
            self.meet(Some(old));
        }
        self.meet(kept);
    }

    /// Adds what was met before: identical, or back from another stay, or into another cache.
    fn add_again(&mut self, subject: &Subject) {
        let Some(session) = self.random.choice(&self.held).cloned() else { return };
        let added = match self.random.u8(..4) {
            0 => {
                let watch = subject.cache.view(session.context()).watch(&session.id());
                subject.cache.add_unless_removed(session, watch)
            }
            _ => subject.cache.add(session),
        };
        if let Ok(Added::Replaced(old)) = added {
            verify(&old);
        }
    }

    /// Takes a session and gives another one of its key back, as after a handshake that failed.
    fn give_back(&mut self, subject: &Subject, number: u64, id: &SessionId) {
        let watch = subject.cache.view(Context::NONE).watch(id);
        let taken = subject.cache.take(id);
        if taken.is_some() {
            let again = session(number, Context::NONE, self.payload_bytes);
            if let Ok(Added::Replaced(old)) = subject.cache.add_unless_removed(again, watch) {
                verify(&old);
            }
        }
        self.meet(taken);
    }

    fn remove(&mut self, subject: &Subject) {
        if self.held.is_empty() {
            return;
        }
        let session = self.held.swap_remove(self.random.usize(..self.held.len()));
        subject.cache.remove(&session);
        verify(&session);
    }

    fn in_a_view(&mut self, subject: &Subject, number: u64, id: &SessionId) {
        let context = self.context();
        let view = subject.cache.view(context);
        match self.random.u8(..8) {
            0..3 => {
                if let Ok(Added::Replaced(old)) =
                    view.add(session(number, context, self.payload_bytes))
                {
                    verify(&old);
                }
            }
            3 => self.meet(view.get(id)),
            4 => {
                view.read(id, verify);
            }
            5 => self.meet(view.take(id)),
            6 => {
                view.remove_id(id);
            }
            _ => {
                if let Some(session) = self.random.choice(&self.held) {
                    view.remove(session);
                }
            }
        }
    }

    /// Dates and the flag of a session change while others look it up.
    fn change_a_held_one(&mut self) {
        let Some(session) = self.random.choice(&self.held) else { return };
        verify(session);
        match self.random.u8(..4) {
            0 => session.set_timeout(Duration::from_secs(self.random.u64(..9))),
            1 => session.set_not_resumable(),
            2 => session.set_created_at(session.created_at().unwrap_or_default()),
            _ => drop(session.clone()),
        }
    }

    /// What administrators and timers do.
    fn administer(&mut self, subject: &Subject, rare: u32) {
        let cache = &subject.cache;
        match rare {
            9_950..9_958 => self.caches.clock.advance(1),
            9_958..9_960 => {
                cache.flush_expired_at(cache.now() + Duration::from_secs(self.random.u64(..=1)));
            }
            9_960 if self.random.u8(..8) == 0 => {
                cache.clear();
            }
            9_961 => cache.snapshot().iter().for_each(verify),
            9_962 => {
                cache.view(self.context()).iter().take(40).for_each(|session| verify(&session))
            }
            9_963 if self.random.u8(..8) == 0 => {
                cache.view(self.context()).clear();
            }
            9_964..9_974 => {
                // A size that is refused changes nothing, and then there is nothing to see.
                let _ = self.random.choice(subject.sizes).map(|&size| cache.set_capacity(size));
            }
            9_974..9_980 => cache.collect(),
            9_980..9_983 if subject.swaps_hooks => {
                cache.set_hooks(if self.random.bool() { watching_hooks() } else { Hooks::new() });
            }
            9_983..9_986 => cache.set_timeout(Duration::from_secs(self.random.u64(1..20))),
            9_986..9_990 => cache.record(Handshake::Accept),
            9_990..9_995 => {
                let _ = (cache.stats(), cache.is_empty());
            }
            _ => {
                let _ = (cache.len(), cache.capacity());
            }
        }
    }
}
