//! Freed memory is searched for secrets.
//!
//! Each secret holds a canary, and the allocator looks into every block at the moment at which it
//! is given back. However a session leaves, no block may hold a canary. Each way is also taken with
//! plain bytes, whose canaries must be found: all of them, or the search is blind.
#![forbid(unsafe_code)]

use super::outcome::{Figures, Outcome};
use super::support::repeat;
use anyhow::{Context, Result, ensure};
use sessile::{Capacity, ManualClock, Mode, Secret, Session, SessionCache};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use testkit::allocator::{CANARY, canaries_freed};
use testkit::{Ledger, START, clocked, ended, ensure_whole, id};

const CAPACITY: u64 = 40;

/// Bytes that are wiped, or not.
trait Bytes: From<Vec<u8>> + Send + Sync + 'static {}

impl Bytes for Secret {}
impl Bytes for Vec<u8> {}

/// A payload that is counted when it goes.
struct Guarded<B> {
    _bytes: B,
    ledger: Arc<Ledger>,
}

impl<B> Drop for Guarded<B> {
    fn drop(&mut self) {
        self.ledger.note_freed();
    }
}

struct Scene<B: Bytes> {
    cache: SessionCache<Guarded<B>>,
    clock: Arc<ManualClock>,
    ledger: Arc<Ledger>,
}

impl<B: Bytes> Scene<B> {
    fn new() -> Result<Self> {
        let (builder, clock) = clocked(CAPACITY as usize);
        let cache = builder.weigher(|_: &Session<Guarded<B>>| 1).max_entry_weight(1).build()?;
        let scene = Self { cache, clock, ledger: Ledger::new() };
        scene.fill();
        Ok(scene)
    }

    fn fill(&self) {
        (0..CAPACITY).for_each(|number| drop(self.cache.add(self.session(number))));
    }

    fn payload(&self) -> Guarded<B> {
        self.ledger.note_made();
        // Exactly as large as it is long; the canary lies at any distance from the ends.
        let bytes = [&[0x11; 7][..], &CANARY, &[0x22; 150], &CANARY].concat();
        Guarded { _bytes: B::from(bytes), ledger: Arc::clone(&self.ledger) }
    }

    fn session(&self, number: u64) -> Session<Guarded<B>> {
        Session::new(id(number), self.payload())
    }
}

type Way<B> = (&'static str, fn(&Scene<B>) -> Result<()>);

fn ways<B: Bytes>() -> [Way<B>; 20] {
    [
        ("remove", |scene| {
            for number in 0..CAPACITY {
                let found = scene.cache.get(&id(number)).context("not stored")?;
                ensure!(scene.cache.remove(&found));
            }
            Ok(())
        }),
        ("remove_id", |scene| each(scene, |scene, number| _ = scene.cache.remove_id(&id(number)))),
        ("take and drop", |scene| each(scene, |scene, number| drop(scene.cache.take(&id(number))))),
        ("replace", |scene| {
            each(scene, |scene, number| drop(scene.cache.add(scene.session(number))))
        }),
        ("evict", |scene| {
            each(scene, |scene, number| drop(scene.cache.add(scene.session(1000 + number))))
        }),
        ("expire at lookup", |scene| {
            scene.clock.advance(7201);
            each(scene, |scene, number| drop(scene.cache.get(&id(number))))
        }),
        ("expire in the sweep of adds", |scene| {
            scene.clock.advance(7201);
            (0..5).try_for_each(|_| {
                each(scene, |scene, number| drop(scene.cache.add(scene.session(number))))
            })
        }),
        ("found not resumable", |scene| {
            each(scene, |scene, number| {
                scene.cache.read(&id(number), |found| found.set_not_resumable());
                drop(scene.cache.get(&id(number)));
            })
        }),
        ("flush_expired", |scene| {
            ensure!(scene.cache.flush_expired_at(START + 7201) == CAPACITY as usize);
            Ok(())
        }),
        ("clear", |scene| {
            ensure!(scene.cache.clear() == CAPACITY as usize);
            Ok(())
        }),
        ("shrink and grow", |scene| {
            scene.cache.set_capacity(5)?;
            scene.cache.set_capacity(1000)?;
            scene.fill();
            Ok(scene.cache.set_capacity(14)?)
        }),
        ("growth of an unbounded cache", |scene| {
            scene.cache.set_capacity(Capacity::Unbounded)?;
            (0..3000).for_each(|number| drop(scene.cache.add(scene.session(number))));
            Ok(())
        }),
        ("drop of the cache", |_| Ok(())),
        ("rejected: not resumable", |scene| {
            let dead =
                Session::<Guarded<B>>::builder(id(1)).resumable(false).build(scene.payload());
            rejected(scene, dead)
        }),
        ("rejected: expired", |scene| {
            let old =
                Session::<Guarded<B>>::builder(id(1)).created_at(1).timeout(Duration::from_secs(1));
            rejected(scene, old.build(scene.payload()))
        }),
        ("rejected: store off", |scene| {
            scene.cache.set_mode(Mode { store: false, ..Mode::default() });
            rejected(scene, scene.session(1))
        }),
        ("session without memory for it", |scene| {
            // Never stored, given back by its maker.
            drop(Session::<Guarded<B>>::builder(id(1)).try_build(scene.payload()));
            Ok(())
        }),
        ("handles that outlive the stay", |scene| {
            let handles: Vec<_> = scene.cache.iter().collect();
            scene.cache.clear();
            scene.cache.collect();
            thread::spawn(move || drop(handles)).join().ok().context("the thread died")
        }),
        ("exit of the thread that removed", |scene| {
            thread::scope(|scope| {
                scope.spawn(|| (0..CAPACITY).for_each(|n| _ = scene.cache.remove_id(&id(n)))).join()
            })
            .ok()
            .context("the thread died")
        }),
        ("threads at work on one another's", at_work),
    ]
}

fn each<B: Bytes>(scene: &Scene<B>, f: fn(&Scene<B>, u64)) -> Result<()> {
    (0..CAPACITY).for_each(|number| f(scene, number));
    Ok(())
}

fn rejected<B: Bytes>(scene: &Scene<B>, session: Session<Guarded<B>>) -> Result<()> {
    ensure!(scene.cache.add(session).is_err(), "was not rejected");
    Ok(())
}

fn at_work<B: Bytes>(scene: &Scene<B>) -> Result<()> {
    let work = |seed: u64| {
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..2000 {
            let number = random.u64(..2 * CAPACITY);
            match random.u8(..4) {
                0 | 1 => drop(scene.cache.add(scene.session(number))),
                2 => drop(scene.cache.take(&id(number))),
                _ => _ = scene.cache.remove_id(&id(number)),
            }
        }
    };
    thread::scope(|scope| ended((0..3).map(|seed| scope.spawn(move || work(seed))).collect()));
    ensure_whole(&scene.cache)
}

pub(crate) fn run(time: Duration, figures: &mut Figures) -> Result<()> {
    let mut secrets = Outcome::new("wipe: freed secrets hold no canary");
    let mut plain = Outcome::new("wipe: freed bytes do (control)");
    let mut blocks = 0;
    repeat(time / 2, |_| {
        for way in ways::<Secret>() {
            secrets.attempt(way.0, || {
                let (payloads, found) = take_way(way.1)?;
                blocks += payloads;
                ensure!(found == 0, "{found} canaries in the memory of {payloads} secrets");
                Ok(())
            });
        }
        for way in ways::<Vec<u8>>() {
            plain.attempt(way.0, || {
                let (payloads, found) = take_way(way.1)?;
                ensure!(
                    found == payloads,
                    "{found} canaries found in {payloads} blocks that hold one"
                );
                Ok(())
            });
        }
    });
    secrets.note(format!("{blocks} secrets freed"));
    figures.faults.extend([secrets, plain]);
    Ok(())
}

/// Plays one scene to its end; returns how many payloads it made, all of them freed, and the blocks
/// with a canary.
fn take_way<B: Bytes>(way: fn(&Scene<B>) -> Result<()>) -> Result<(u64, u64)> {
    let (scene, found) = canaries_freed(|| -> Result<_> {
        let scene = Scene::<B>::new()?;
        way(&scene)?;
        scene.cache.collect();
        let Scene { cache, ledger, .. } = scene;
        drop(cache);
        Ok(ledger)
    });
    let ledger = scene?;
    let made = ledger.made() as u64;
    ensure!(made >= CAPACITY, "{made} payloads were made");
    ledger.ensure_alive(0)?;
    Ok((made, found))
}
