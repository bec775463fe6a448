//! The status: limits beside counters, refusals by their reason, and a list that leaves nothing
//! out.

use sessile::{
    Capacity, Context, MetricKind, Mode, Rejection, Session, SessionBuilder, SessionCache,
};
use std::collections::HashSet;
use testkit::{START, clocked, id, session};

#[test]
fn limits_and_weights_are_shown_where_there_are_any() {
    let cache = SessionCache::builder()
        .capacity(10)
        .weigher(|session: &Session<u64>| **session as usize)
        .max_weight(1000)
        .garbage_limit(1 << 20)
        .build()
        .unwrap();
    (&cache).extend([session(30), session(12)]);
    let status = cache.status();
    assert_eq!((status.capacity, status.garbage_limit), (Some(10), 1 << 20));
    assert_eq!((status.weight, status.weight_limit), (Some(42), Some(1000)));
    assert!(cache.remove_id(&id(30)));
    assert_eq!(cache.status().weight, Some(12));

    let unbounded: SessionCache<u64> =
        SessionCache::builder().capacity(Capacity::Unbounded).build().unwrap();
    let status = unbounded.status();
    assert_eq!((status.capacity, status.weight, status.weight_limit), (None, None, None));
}

#[test]
fn refusals_are_counted_by_their_reason() {
    let (builder, _clock) = clocked(10);
    let cache =
        builder.weigher(|session: &Session<u64>| **session as usize).max_entry_weight(5).build();
    let cache = cache.unwrap();
    let marked = session(1);
    marked.set_not_resumable();
    let old = SessionBuilder::new(id(2)).deadline(START - 1).build(2);
    (&cache).extend([marked, old, session(6), session(7)]);
    assert!(cache.view(Context::from_bytes([1; 32])).add(session(3)).is_err());
    cache.set_mode(Mode { store: false, ..Mode::default() });
    assert!(cache.add(session(4)).is_err());

    let stats = cache.stats();
    let expected = [
        (Rejection::NotResumable, 1),
        (Rejection::Expired, 1),
        (Rejection::OverWeight, 2),
        (Rejection::Context, 1),
        (Rejection::StoreDisabled, 1),
    ];
    for (reason, count) in stats.rejections.iter() {
        let expected = expected.iter().find(|(named, _)| *named == reason);
        assert_eq!(count, expected.map_or(0, |(_, count)| *count), "{reason:?}");
    }
    assert_eq!(stats.rejected, 6);
}

#[test]
fn the_list_has_every_number_once_and_counters_say_so() {
    let (builder, _clock) = clocked(10);
    let cache = builder.weigher(|_: &Session<u64>| 7).max_weight(70).build().unwrap();
    (&cache).extend([session(1), session(2), session(2)]);
    assert!(cache.take(&id(1)).is_some() && cache.get(&id(9)).is_none());
    let metrics: Vec<_> = cache.status().metrics().collect();
    let names: HashSet<_> = metrics.iter().map(|metric| metric.name).collect();
    assert_eq!((names.len(), metrics.len()), (40, 40));
    let value = |name: &str| {
        let metric = metrics.iter().find(|metric| metric.name == name).unwrap();
        (metric.kind, metric.value)
    };
    assert_eq!(value("added"), (MetricKind::Counter, 2));
    assert_eq!(value("replaced"), (MetricKind::Counter, 1));
    assert_eq!(value("taken"), (MetricKind::Counter, 1));
    assert_eq!(value("misses"), (MetricKind::Counter, 1));
    assert_eq!(value("sessions"), (MetricKind::Gauge, 1));
    assert_eq!(value("capacity"), (MetricKind::Gauge, 10));
    assert_eq!(value("weight_bytes"), (MetricKind::Gauge, 7));
    assert_eq!(value("weight_limit_bytes"), (MetricKind::Gauge, 70));
    assert!(metrics.iter().all(|metric| !metric.help.is_empty() && !metric.help.ends_with('.')));
}
