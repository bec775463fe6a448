//! The policies that the caches are measured by.

use super::{Event, Op, Tally, run};
use lru::LruCache;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::num::NonZeroUsize;

/// First in, first out: OpenSSL (equal timeouts) and rustls.
pub(super) fn fifo(trace: &[Event], capacity: usize) -> Tally {
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
pub(super) fn lru(trace: &[Event], capacity: usize) -> Tally {
    let mut cache = LruCache::new(NonZeroUsize::new(capacity).expect("a cache for nothing"));
    run(trace, |_, Event { op, id }| match op {
        Op::Take => cache.pop(&id).is_some(),
        Op::Get => cache.get(&id).is_some(),
        Op::Add | Op::GetOrAdd => cache.put(id, ()).is_some(),
    })
}

/// The optimum: evicts what is used again last, and does not take in what would be that itself.
pub(super) fn belady(trace: &[Event], capacity: usize) -> Tally {
    let next_uses = next_uses(trace);
    let mut due = HashMap::new();
    let mut order = BTreeSet::new();
    run(trace, |at, Event { op, id }| {
        let known = due.remove(&id);
        if let Some(use_at) = known {
            order.remove(&(use_at, id));
        }
        let next = next_uses[at];
        let stays = op != Op::Take && (known.is_some() || op != Op::Get);
        if stays && next != NEVER {
            due.insert(id, next);
            order.insert((next, id));
            let last = if due.len() > capacity { order.pop_last() } else { None };
            if let Some((_, last)) = last {
                due.remove(&last);
            }
        }
        known.is_some()
    })
}

const NEVER: usize = usize::MAX;

/// For each event, when its id is used next.
fn next_uses(trace: &[Event]) -> Vec<usize> {
    let mut next = HashMap::new();
    let mut uses: Vec<_> =
        trace.iter().enumerate().rev().map(|(at, event)| next.insert(event.id, at)).collect();
    uses.reverse();
    uses.into_iter().map(|use_at| use_at.unwrap_or(NEVER)).collect()
}
