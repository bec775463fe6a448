//! Write-behind: turns places that changed into commands, by what the cache holds for them now.
//!
//! A session for one use is written at most once: if the tier's answer is lost, it may have been
//! written and taken already, and writing it again would have it taken twice. A session for many
//! uses, and a deletion, are sent again until the tier has answered.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dashmap::mapref::entry::Entry;
use sessile::{Session, SessionCache};
use tokio::sync::mpsc;

use crate::desk::{Desk, Mark, Written, quietly};
use crate::hooks::address_of;
use crate::link::{Answer, Command, Link};
use crate::payload::Payload;
use crate::place::{Place, Uses};
use crate::record::Record;
use crate::stats::Counter;

pub(crate) struct Writer<T: Send + Sync + 'static> {
    desk: Arc<Desk<T>>,
    link: Link,
    changes: mpsc::Receiver<Place>,
    /// Deletions that the tier has not confirmed, with the uses of what was written; `None` for
    /// both.
    deletions: HashMap<Place, Option<Uses>>,
    /// The server refused a deletion, which is tried again more slowly then.
    is_refused: bool,
    /// When arrivals are looked through for late ones.
    sweep_at: Instant,
    digests: RandomState,
}

const SWEEP_SPAN: Duration = Duration::from_millis(100);

/// What a command is for.
enum Step<T: Send + Sync + 'static> {
    Write {
        place: Place,
        written: Written,
        before: Option<Written>,
    },
    /// A write of what the cache does not store.
    Pass(Place),
    Publish,
    /// A write of what was removed from the cache for it.
    Move(Record, std::marker::PhantomData<T>),
    GiveBack,
    Delete(Place, Option<Uses>),
}

impl<T: Payload> Writer<T> {
    pub(crate) fn new(desk: Arc<Desk<T>>, link: Link, changes: mpsc::Receiver<Place>) -> Self {
        Self {
            desk,
            link,
            changes,
            deletions: HashMap::new(),
            is_refused: false,
            sweep_at: Instant::now(),
            digests: RandomState::new(),
        }
    }

    /// Works until the tier is dropped or the cache is.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            let desk = Arc::clone(&self.desk);
            self.link.until_up(|| desk.cache().is_some()).await;
            batch.clear();
            let batch_max = self.desk.options.batch;
            // Wakes up now and then for what expires without a change.
            let pause = if self.is_done() || self.is_refused { 200 } else { 1 };
            let pause = Duration::from_millis(pause);
            let received = self.changes.recv_many(&mut batch, batch_max);
            let is_open = tokio::time::timeout(pause, received).await != Ok(0);
            let Some(cache) = self.desk.cache().filter(|_| is_open) else { return };
            self.work(&cache, &batch).await;
            if batch.len() < batch_max {
                self.repair(&cache).await;
            }
            drop(cache);
            self.rest();
        }
    }

    fn is_done(&self) -> bool {
        // ORDERING: Relaxed: a hint; `repair` looks itself.
        let needs_repair = self.desk.needs_repair.load(Ordering::Relaxed);
        self.desk.pending.is_empty() && self.deletions.is_empty() && !needs_repair
    }

    /// Tells who waits for it that all is done, if it is.
    fn rest(&self) {
        if self.is_done() {
            // ORDERING: SeqCst: a change that comes now is seen by one of the two loads.
            self.desk.is_idle.store(true, Ordering::SeqCst);
            if self.is_done() {
                self.desk.went_idle.notify_waiters();
            }
        }
    }

    /// Brings the places of one batch up to date.
    async fn work(&mut self, cache: &SessionCache<T>, places: &[Place]) {
        let mut steps = Vec::new();
        self.is_refused = false;
        if self.sweep_at <= Instant::now() {
            self.give_back_the_late(cache, &mut steps);
            self.sweep_at = Instant::now() + SWEEP_SPAN;
        }
        for place in places {
            self.plan(cache, *place, &mut steps);
        }
        for (place, uses) in self.deletions.iter().take(self.desk.options.batch) {
            steps.push((self.delete(*place, *uses), Step::Delete(*place, *uses)));
            if *uses != Some(Uses::Once) {
                let end = self.desk.publication(&place.used(Uses::Many), &[]);
                steps.extend(end.map(|end| (end, Step::Publish)));
            }
        }
        if steps.is_empty() {
            return;
        }
        let (commands, steps): (Vec<_>, Vec<_>) = steps.into_iter().unzip();
        let answers = self.link.send(&commands).await;
        if answers.contains(&Answer::Unknown) {
            // Of a cluster, the rest may be up.
            tokio::time::sleep(self.desk.options.backoff.0).await;
        }
        for (step, answer) in steps.into_iter().zip(answers) {
            self.settle(cache, step, answer);
        }
    }

    /// What has to be done for a place.
    fn plan(&mut self, cache: &SessionCache<T>, place: Place, steps: &mut Vec<(Command, Step<T>)>) {
        // INVARIANT(MINE): in `written` before it leaves `pending`.
        let before = match self.desk.written.entry(place) {
            Entry::Occupied(there) => Some(*there.get()),
            Entry::Vacant(free) => {
                free.insert(Written { uses: Uses::Once, address: 0, digest: None });
                None
            }
        };
        let mark = self.desk.pending.remove(&place).map_or(Mark::Changed, |(_, mark)| mark);
        let passed = self.desk.unstored.remove(&place).map(|(_, session)| session);
        if let Some(session) = passed.filter(|_| mark != Mark::Removed) {
            return self.plan_write(cache, &session, before, true, steps);
        }
        let view = cache.view(place.context).protocol(place.protocol);
        let stored = view.peek(&place.id).filter(|session| is_usable(cache, session));
        match (stored, before) {
            (Some(session), _) => self.plan_write(cache, &session, before, false, steps),
            (None, Some(one)) if mark == Mark::Evicted(one.address) && one.digest.is_some() => {
                // The tier has it, and may hand it out.
                self.desk.written.remove(&place);
            }
            (None, Some(one)) if mark != Mark::Removed => {
                self.deletions.insert(place, Some(one.uses));
            }
            (None, None) if mark != Mark::Removed => _ = self.desk.written.remove(&place),
            (None, _) => _ = self.deletions.insert(place, None),
        }
    }

    fn plan_write(
        &mut self,
        cache: &SessionCache<T>,
        session: &Session<T>,
        before: Option<Written>,
        is_passed: bool,
        steps: &mut Vec<(Command, Step<T>)>,
    ) {
        let (place, uses) = (Place::of(session), self.desk.uses_of(session));
        let Some((record, digest, command)) = self.sealed(cache, session, uses) else {
            // It stays in this process.
            match before.filter(|before| before.digest.is_some()) {
                Some(before) => _ = self.deletions.insert(place, Some(before.uses)),
                None => _ = self.desk.written.remove(&place),
            }
            return;
        };
        let written = Written { uses, address: address_of(session), digest: Some(digest) };
        self.spare(place, uses, before);
        if before.is_some_and(|before| before.digest == written.digest && before.uses == uses) {
            self.desk.written.insert(place, written);
            return;
        }
        let publication = (uses == Uses::Many)
            .then(|| self.desk.publication(&place.used(uses), command.value()))
            .flatten();
        if is_passed {
            self.desk.written.insert(place, written);
            steps.push((command, Step::Pass(place)));
        } else if self.desk.options.is_strict && uses == Uses::Once {
            if quietly(place, || cache.remove(session)) {
                steps.push((command, Step::Move(record, std::marker::PhantomData)));
            } else {
                // Somebody else has it.
                self.desk.written.remove(&place);
            }
        } else {
            self.desk.written.insert(place, written);
            steps.push((command, Step::Write { place, written, before }));
        }
        steps.extend(publication.map(|publication| (publication, Step::Publish)));
    }

    /// What is written of a session, with a digest of it.
    fn sealed(
        &self,
        cache: &SessionCache<T>,
        session: &Session<T>,
        uses: Uses,
    ) -> Option<(Record, u64, Command)> {
        let record = Record::of(session)?;
        let bytes = record.to_bytes();
        let digest = self.digests.hash_one(&*bytes);
        let name = record.place.used(uses).name(&self.desk.options.prefix);
        let value = self.desk.ring().seal(&name, &bytes).ok()?;
        let seconds = record.expires().saturating_sub(cache.now().as_secs()) + 1;
        Some((record, digest, Command::Set { name, value, seconds }))
    }

    /// What is written now is not deleted any more; what lies there for other uses is.
    fn spare(&mut self, place: Place, uses: Uses, before: Option<Written>) {
        let other = match uses {
            Uses::Once => Uses::Many,
            Uses::Many => Uses::Once,
        };
        let is_other = before.is_some_and(|one| one.digest.is_some() && one.uses == other);
        match self.deletions.remove(&place) {
            Some(deleted) if deleted != Some(uses) => _ = self.deletions.insert(place, Some(other)),
            _ if is_other => _ = self.deletions.insert(place, Some(other)),
            _ => {}
        }
    }

    fn delete(&self, place: Place, uses: Option<Uses>) -> Command {
        let prefix = &self.desk.options.prefix;
        let of = |uses: Uses| place.used(uses).name(prefix);
        Command::Delete(match uses {
            Some(uses) => vec![of(uses)],
            None => vec![of(Uses::Once), of(Uses::Many)],
        })
    }

    /// What the answer to a command means.
    fn settle(&mut self, cache: &SessionCache<T>, step: Step<T>, answer: Answer) {
        let desk = &self.desk;
        desk.counters.count(match (answer, &step) {
            (Answer::Done, Step::Write { .. } | Step::Pass(_)) => Counter::Written,
            (Answer::Done, Step::Publish) => Counter::Published,
            (Answer::Done, Step::Move(..)) => Counter::Moved,
            (Answer::Done, Step::GiveBack) => Counter::GivenBack,
            (Answer::Done, Step::Delete(..)) => Counter::Deleted,
            (Answer::Refused, _) => Counter::RefusedWrites,
            (Answer::Unknown, _) => Counter::Unanswered,
        });
        match (step, answer) {
            (Step::Write { place, before, .. }, Answer::Refused) => match before {
                // What it was to replace is there still.
                Some(before) => _ = self.deletions.insert(place, Some(before.uses)),
                None => _ = desk.written.remove(&place),
            },
            (Step::Write { place, written, .. }, Answer::Unknown) if written.uses == Uses::Many => {
                desk.written.insert(place, Written { digest: None, ..written });
                desk.mark(place, Mark::Changed);
            }
            (Step::Delete(place, uses), Answer::Done) => {
                if self.deletions.get(&place) == Some(&uses) {
                    self.deletions.remove(&place);
                }
                let is_deleted = |one: &Written| {
                    one.digest.is_none() || uses.is_none_or(|uses| uses == one.uses)
                };
                desk.written.remove_if(&place, |_, one| is_deleted(one));
            }
            (Step::Delete(..), Answer::Refused) => self.is_refused = true,
            (Step::Move(record, _), answer) => {
                if answer == Answer::Refused {
                    self.restore(cache, &record);
                }
                desk.written.remove(&record.place);
            }
            // Nothing of it is held here: it is asked for like what others wrote.
            (Step::Pass(place), _) => _ = desk.written.remove(&place),
            (Step::Write { .. } | Step::Delete(..) | Step::GiveBack | Step::Publish, _) => {}
        }
    }

    /// Puts back what was to be moved to a tier that does not take it, unless it was removed
    /// meanwhile.
    fn restore(&self, cache: &SessionCache<T>, record: &Record) {
        let place = record.place;
        // First: a removal that is over by now has left its mark.
        let watch = cache.view(place.context).protocol(place.protocol).watch(&place.id);
        let is_removed = |mark: &Mark| *mark == Mark::Removed;
        if self.desk.pending.get(&place).is_some_and(|mark| is_removed(&mark)) {
            return;
        }
        if let Ok(session) = record.to_session::<T>() {
            // A session that the cache refuses is one full handshake more.
            let _ = quietly(place, || cache.add_from_tier_unless_removed(session, watch));
        }
    }

    /// Fetched sessions that no handshake asked for. One for one use is nowhere else: it goes back.
    fn give_back_the_late(&self, cache: &SessionCache<T>, steps: &mut Vec<(Command, Step<T>)>) {
        let now = Instant::now();
        let late: Vec<_> = self
            .desk
            .arrivals
            .iter()
            .filter(|arrival| arrival.until <= now)
            .map(|arrival| *arrival.key())
            .collect();
        for key in late {
            let arrival = self.desk.arrivals.remove_if(&key, |_, arrival| arrival.until <= now);
            let Some((_, arrival)) = arrival.filter(|_| key.uses == Uses::Once) else { continue };
            let name = key.name(&self.desk.options.prefix);
            let command = Record::of(&arrival.session).and_then(|record| {
                let value = self.desk.ring().seal(&name, &record.to_bytes()).ok()?;
                let seconds = record.expires().checked_sub(cache.now().as_secs())? + 1;
                Some(Command::Set { name, value, seconds })
            });
            steps.extend(command.map(|command| (command, Step::GiveBack)));
        }
    }

    /// After the queue was full: compares all that this node wrote, and all that the cache holds.
    async fn repair(&mut self, cache: &SessionCache<T>) {
        // ORDERING: Acquire: see `Desk::mark`.
        if !self.desk.needs_repair.swap(false, Ordering::Acquire) {
            return;
        }
        self.desk.counters.count(Counter::Repairs);
        let mut places: Vec<Place> =
            self.desk.written.iter().map(|written| *written.key()).collect();
        let is_new = |place: &Place| !self.desk.written.contains_key(place);
        places.extend(cache.iter().map(|session| Place::of(&session)).filter(is_new));
        for batch in places.chunks(self.desk.options.batch) {
            self.work(cache, batch).await;
        }
    }
}

fn is_usable<T: Payload>(cache: &SessionCache<T>, session: &Session<T>) -> bool {
    let is_expired = session.expires_at().is_some_and(|expires| cache.now() > expires);
    session.is_resumable() && !is_expired
}
