//! The caches that are kept busy at once: one set, hundreds, thousands, by weight, without a bound,
//! with a second tier.

use super::payload::Payload;
use anyhow::Result;
use sessile::{
    Capacity, Context, Hooks, ManualClock, Policy, Session, SessionCache, SessionCacheBuilder,
    SessionId,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use testkit::{START, id, number_of};

/// ThreadSanitizer does not understand the fence with which `std::sync::Arc` frees, and the library
/// that comes with the compiler is not built for it. Hooks are held in such an `Arc` by arc-swap;
/// whoever drops the last one would be reported.
const HIDES_FENCES: bool = cfg!(crossbeam_sanitize_thread);

/// Payloads that were not whole when they were read.
static BROKEN: AtomicU64 = AtomicU64::new(0);

/// A cache and how it is used.
pub(super) struct Subject {
    pub(super) name: &'static str,
    pub(super) cache: SessionCache<Payload>,
    /// Ids are drawn from so many.
    pub(super) ids: u64,
    /// What `set_capacity` sets.
    pub(super) sizes: &'static [usize],
    /// Whether hooks are changed at run time.
    pub(super) swaps_hooks: bool,
}

/// All caches and the clock that they share.
pub(super) struct Caches {
    pub(super) subjects: Vec<Subject>,
    pub(super) clock: Arc<ManualClock>,
}

impl Caches {
    pub(super) fn new(payload_bytes: usize) -> Result<Self> {
        let clock = Arc::new(ManualClock::new(START));
        let cache = |capacity: Capacity| {
            let builder = SessionCache::builder().capacity(capacity).clock(Arc::clone(&clock));
            builder.timeout(Duration::from_secs(3))
        };
        let total = 500 * payload_bytes.max(1);
        let weigher = |session: &Session<Payload>| session.weight();
        let second_tier = move |id: &_, context: &_| second_tier(id, context, payload_bytes);
        let sizes: &[usize] = &[4, 60, 200, 14, 900];
        let resized = Subject {
            sizes,
            swaps_hooks: !HIDES_FENCES,
            ..subject(
                "resized",
                300,
                cache(Capacity::Sessions(60)).hooks(watching_hooks()).watch_removals(true),
            )?
        };
        let subjects = vec![
            subject("one set", 24, cache(Capacity::Sessions(10)).watch_removals(true))?,
            subject("hundreds", 700, cache(Capacity::Sessions(400)).policy(Policy::Fifo))?,
            subject("thousands", 9_000, cache(Capacity::Sessions(5_000)).protect_reused(true))?,
            resized,
            subject(
                "by weight",
                3_000,
                cache(Capacity::Sessions(2_000)).weigher(weigher).max_weight(total),
            )?,
            subject(
                "without a bound",
                4_000,
                cache(Capacity::Unbounded)
                    .policy(Policy::SoonestExpiry)
                    .on_removed(|session, _| verify(session)),
            )?,
            subject("two tiers", 200, cache(Capacity::Sessions(100)).on_miss(second_tier))?,
        ];
        Ok(Self { subjects, clock })
    }
}

fn subject(name: &'static str, ids: u64, builder: SessionCacheBuilder<Payload>) -> Result<Subject> {
    Ok(Subject { name, cache: builder.build()?, ids, sizes: &[], swaps_hooks: false })
}

/// Hooks that read what they are shown.
pub(super) fn watching_hooks() -> Hooks<Payload> {
    Hooks::new().on_added(verify).on_removed(|session, _| verify(session))
}

/// The second tier has a quarter of all sessions.
fn second_tier(
    id: &SessionId,
    context: &Context,
    payload_bytes: usize,
) -> Option<Session<Payload>> {
    let number = number_of(id);
    number.is_multiple_of(4).then(|| session(number, *context, payload_bytes))
}

/// A session with its payload.
pub(super) fn session(number: u64, context: Context, payload_bytes: usize) -> Session<Payload> {
    Session::<Payload>::builder(id(number))
        .context(context)
        .build(Payload::new(number, payload_bytes))
}

/// Reads the session's payload and counts it when it is not what belongs there.
pub(super) fn verify(session: &Session<Payload>) {
    if !session.is_whole(number_of(&session.id())) {
        BROKEN.fetch_add(1, Ordering::Relaxed);
    }
}

/// Payloads found broken so far.
pub(super) fn broken() -> u64 {
    BROKEN.load(Ordering::Relaxed)
}
