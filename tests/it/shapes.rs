//! Payloads of every size and alignment: nothing, a page-aligned one, one of many cache lines, one
//! that is aligned like a cache line. Blocks are laid out by hand, so each is put through
//! everything that moves, warms or frees a block.

use sessile::{Added, Session, SessionCache};
use std::sync::Arc;
use testkit::{assert_whole, id, reclaim};

/// What a payload must show wherever it is met.
trait Shape: Send + Sync + Sized + 'static {
    fn new(n: u64) -> Self;
    fn is_whole(&self, n: u64) -> bool;
}

impl Shape for () {
    fn new(_: u64) -> Self {}
    fn is_whole(&self, _: u64) -> bool {
        true
    }
}

#[repr(align(64))]
struct Line(u8);

#[repr(align(4096))]
struct Page(Arc<u64>);

struct Large([u64; 1 << 14]);

/// Nothing, on a page of its own.
#[repr(align(4096))]
struct Edge;

impl Shape for Line {
    fn new(n: u64) -> Self {
        Self(n as u8)
    }
    fn is_whole(&self, n: u64) -> bool {
        std::ptr::from_ref(self).is_aligned() && self.0 == n as u8
    }
}

impl Shape for Page {
    fn new(n: u64) -> Self {
        Self(Arc::new(n))
    }
    fn is_whole(&self, n: u64) -> bool {
        std::ptr::from_ref(self).addr() % 4096 == 0 && *self.0 == n
    }
}

impl Shape for Large {
    fn new(n: u64) -> Self {
        Self([n; 1 << 14])
    }
    fn is_whole(&self, n: u64) -> bool {
        self.0[0] == n && self.0[(1 << 14) - 1] == n
    }
}

impl Shape for Edge {
    fn new(_: u64) -> Self {
        Self
    }
    fn is_whole(&self, _: u64) -> bool {
        std::ptr::from_ref(self).addr() % 4096 == 0
    }
}

/// Inserts, replaces, evicts, moves, takes and frees more sessions than a batch of retirements
/// holds.
fn put_through<S: Shape>(capacity: usize) {
    let cache: SessionCache<S> =
        SessionCache::builder().capacity(capacity).garbage_limit(1 << 30).build().unwrap();
    let end = 200;
    for n in 0..end {
        let session = Session::new(id(n), S::new(n));
        assert!(matches!(cache.add(session.clone()), Ok(Added::Inserted)));
        assert!(matches!(cache.add(session), Ok(Added::Identical)));
        assert!(
            matches!(cache.add(Session::new(id(n), S::new(n))), Ok(Added::Replaced(old)) if old.is_whole(n))
        );
        assert_eq!(cache.read(&id(n), |stored| stored.is_whole(n)), Some(true));
    }
    assert_whole(&cache);
    cache.set_capacity(3 * capacity).unwrap();
    cache.set_capacity(capacity).unwrap();
    let held: Vec<_> = (0..end).filter_map(|n| Some((n, cache.get(&id(n))?))).collect();
    assert_eq!(held.len(), cache.len());
    let taken = (0..end)
        .filter_map(|n| cache.take(&id(n)).map(|session| assert!(session.is_whole(n))))
        .count();
    assert_eq!(taken, held.len());
    reclaim(&cache);
    assert_eq!(cache.stats().garbage.sessions, 0);
    assert!(
        held.iter().all(|(n, session)| session.is_whole(*n) && Session::handle_count(session) == 1)
    );
    drop(cache);
}

#[test]
fn payloads_of_every_shape_are_kept_whole() {
    for capacity in [8, 40, 150] {
        put_through::<()>(capacity);
        put_through::<Line>(capacity);
        put_through::<Page>(capacity);
        put_through::<Large>(capacity);
        put_through::<Edge>(capacity);
    }
}
