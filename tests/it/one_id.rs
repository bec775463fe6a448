//! One id in many contexts: they share a set in every table, and push out each other rather than
//! those who were there.

use sessile::{Capacity, Context, Session, SessionCache};
use testkit::{assert_whole, id, session, store};

fn flood(cache: &SessionCache<u64>, n: u64, contexts: u8) {
    for context in 0..contexts {
        let context = Context::from_bytes([context + 1; 32]);
        let session = Session::<u64>::builder(id(n)).context(context).build(n);
        store(cache, session);
        let is_there = cache.view(context).get(&id(n)).is_some();
        assert!(is_there, "a new session is visible to the next lookup");
    }
}

#[test]
fn an_id_in_many_contexts_pushes_out_nobody_from_an_empty_cache() {
    for capacity in [Capacity::Sessions(20_480), Capacity::Unbounded] {
        for used in [false, true] {
            let cache = SessionCache::new(capacity).unwrap();
            store(&cache, session(7));
            assert!(!used || cache.get(&id(7)).is_some());
            flood(&cache, 7, 200);
            assert_eq!(cache.peek(&id(7)).as_deref(), Some(&7), "{capacity:?}, used: {used}");
            assert_eq!(cache.len(), 14, "they share a set");
            assert_whole(&cache);
        }
    }
}

#[test]
fn in_a_cache_that_is_half_full_it_pushes_out_few() {
    let cache = SessionCache::new(2000).unwrap();
    for n in 0..1000 {
        store(&cache, session(n));
    }
    flood(&cache, 7, 200);
    let lost = (0..1000).filter(|&n| cache.peek(&id(n)).is_none()).count();
    assert!(lost <= 3, "{lost} are lost");
    assert_whole(&cache);
}
