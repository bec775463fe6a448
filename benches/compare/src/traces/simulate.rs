//! The policies that the caches are measured by.

use super::{Event, HitCount, Op, run, warm_up};
use lru::LruCache;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::num::NonZeroUsize;

/// First in, first out: OpenSSL (equal timeouts) and rustls.
pub(super) fn fifo(trace: &[Event], capacity: usize) -> HitCount {
    let mut present = HashSet::new();
    let mut queue = VecDeque::new();
    run(trace, |_, Event { op, id }| {
        let is_hit = present.contains(&id);
        if op == Op::Take {
            present.remove(&id);
        }
        if matches!(op, Op::Add | Op::GetOrAdd) && !is_hit {
            while present.len() >= capacity {
                // Some in the queue have been taken.
                let Some(oldest) = queue.pop_front() else { break };
                present.remove(&oldest);
            }
            present.insert(id);
            queue.push_back(id);
        }
        is_hit
    })
}

/// Least recently used, over the whole cache.
pub(super) fn lru(trace: &[Event], capacity: usize) -> HitCount {
    let mut cache = LruCache::new(NonZeroUsize::new(capacity).expect("a cache for nothing"));
    run(trace, |_, Event { op, id }| match op {
        Op::Take => cache.pop(&id).is_some(),
        Op::Get => cache.get(&id).is_some(),
        Op::Add | Op::GetOrAdd => cache.put(id, ()).is_some(),
    })
}

/// The optimum, which no cache of this capacity can pass: holds what is rewarded soonest, and
/// nothing that never is.
///
/// A reward is a lookup that counts, after the warm-up. A live session, added and not yet taken, is
/// held from one of its events to the next if that is a reward: whatever happens in between, a
/// session that is added again, or looked up before rewards count, could be stored at that moment
/// as well. So it may be here after a lookup that missed, which a cache cannot do; the figure is a
/// bound.
pub(super) fn belady(trace: &[Event], capacity: usize) -> HitCount {
    let rewards = rewards(trace);
    let (mut live, mut due, mut order) = (HashSet::new(), HashMap::new(), BTreeSet::new());
    run(trace, |at, Event { op, id }| {
        let held = due.remove(&id);
        if let Some(reward) = held {
            order.remove(&(reward, id));
        }
        match op {
            Op::Add | Op::GetOrAdd => _ = live.insert(id),
            Op::Take => _ = live.remove(&id),
            Op::Get => {}
        }
        if let Some(reward) = rewards[at].filter(|_| live.contains(&id)) {
            due.insert(id, reward);
            order.insert((reward, id));
            let last = if due.len() > capacity { order.pop_last() } else { None };
            if let Some((_, last)) = last {
                due.remove(&last);
            }
        }
        held.is_some()
    })
}

/// For each event, when its id is used next, if that is a lookup that counts.
fn rewards(trace: &[Event]) -> Vec<Option<usize>> {
    let mut next: HashMap<u32, (usize, Op)> = HashMap::new();
    let used_next = |(at, event): (usize, &Event)| next.insert(event.id, (at, event.op));
    let mut uses: Vec<_> = trace.iter().enumerate().rev().map(used_next).collect();
    uses.reverse();
    let counts = |&(at, op): &(usize, Op)| at >= warm_up(trace) && op != Op::Add;
    uses.into_iter().map(|used| used.filter(counts).map(|(at, _)| at)).collect()
}
