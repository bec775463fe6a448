//! The shape of the API that other code relies on: what may be sent, shared and copied, and what
//! may not.

use sessile::*;
use std::cell::Cell;
use std::error::Error;
use std::fmt::Debug;
use std::rc::Rc;
use std::sync::Arc;
use testkit::{id, session, store};

/// Tells at compile time that a type does not implement a trait: two implementations would apply if
/// it did.
macro_rules! assert_not {
    ($type:ty: $($bound:tt)+) => {
        const _: () = {
            trait Ambiguous<Witness> {
                fn witness() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            struct Implemented;
            impl<T: ?Sized + $($bound)+> Ambiguous<Implemented> for T {}
            let _ = <$type as Ambiguous<_>>::witness;
        };
    };
}

assert_not!(SessionCache<u64>: Clone);
assert_not!(Session<Cell<u64>>: Sync);
assert_not!(Session<Cell<u64>>: Send);
assert_not!(Session<Rc<u64>>: Send);
assert_not!(Session<*const u64>: Send);
assert_not!(Secret: Copy);
assert_not!(Secret: std::fmt::Display);
assert_not!(Session<u64>: Copy);
assert_not!(Session<u64>: std::ops::DerefMut);
assert_not!(SessionId: Default);

const fn is<T: ?Sized + Send + Sync>() {}

const _: () = {
    is::<SessionCache<Vec<u8>>>();
    is::<View<'static, Vec<u8>>>();
    is::<Session<Vec<u8>>>();
    is::<SessionCacheBuilder<Vec<u8>>>();
    is::<Hooks<Vec<u8>>>();
    is::<Added<Vec<u8>>>();
    is::<Rejected<Vec<u8>>>();
    is::<SessionBuilder>();
    is::<Secret>();
    is::<Stats>();
    is::<dyn Clock>();
};

/// A panic that was caught leaves the cache usable, and needs no `AssertUnwindSafe`.
#[test]
fn a_cache_may_cross_a_caught_panic() {
    let cache = SessionCache::<u64>::new(10).unwrap();
    let heard = std::panic::catch_unwind(|| {
        let _ = cache.read(&id(1), |_| ());
        panic!("heard")
    });
    assert!(heard.is_err() && cache.is_empty());
}

fn is_plain_data<T: Copy + Eq + Debug + Send + Sync + 'static>(_: T) {}

#[test]
fn small_values_are_plain_data() {
    is_plain_data(id(1));
    is_plain_data(Context::NONE);
    is_plain_data(Protocol::TLS1_3);
    is_plain_data(Capacity::Unbounded);
    is_plain_data(Policy::default());
    is_plain_data(Mode::default());
    is_plain_data(RemovalCause::Taken);
    is_plain_data(Rejection::Expired);
    is_plain_data(BuildError::ZeroCapacity);
    is_plain_data(Handshake::Accept);
    is_plain_data(Garbage::default());
    assert_eq!(Policy::default(), Policy::Lru);
    assert_eq!(
        (Protocol::default(), Protocol::TLS1_2.0, Protocol::TLS1_3.0),
        (Protocol::UNSPECIFIED, 0x0303, 0x0304)
    );
}

#[test]
fn a_cache_is_shared_by_reference_or_by_arc() {
    let cache = Arc::new(SessionCache::new(10).unwrap());
    let other = Arc::clone(&cache);
    std::thread::spawn(move || store(&other, session(1))).join().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| store(&cache, session(2)));
        let view = cache.view(Context::NONE);
        let copy = view;
        scope.spawn(move || assert!(copy.add(session(3)).is_ok_and(|added| added.changed())));
        assert!(view.get(&id(1)).is_some());
    });
    assert_eq!(cache.len(), 3);
}

#[test]
fn errors_are_errors_and_say_something() {
    let errors: [Box<dyn Error + Send + Sync>; 2] =
        [Box::new(BuildError::CapacityTooLarge), Box::new(SessionId::new(&[]).unwrap_err())];
    assert!(errors.iter().all(|error| !error.to_string().is_empty()));
    let rejections = [
        Rejection::Expired,
        Rejection::OverWeight,
        Rejection::NotResumable,
        Rejection::Garbage,
        Rejection::Context,
        Rejection::StoreDisabled,
        Rejection::Contention,
        Rejection::Allocation,
    ];
    let said: std::collections::HashSet<String> =
        rejections.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), rejections.len());
}

#[test]
fn everything_can_be_shown() {
    let cache = SessionCache::new(10).unwrap();
    let added = cache.add(session(1));
    let shown = [
        format!("{cache:?}"),
        format!("{:?}", cache.view(Context::NONE)),
        format!("{:?}", SessionCache::<u64>::builder()),
        format!("{:?}", Session::<u64>::builder(id(1))),
        format!("{:?}", Hooks::<u64>::new().on_added(|_| {})),
        format!("{:?}", cache.stats()),
        format!("{added:?}"),
        format!("{:?}", ManualClock::new(1)),
    ];
    assert!(shown.iter().all(|shown| !shown.is_empty()));
    assert!(shown[0].contains("len: 1") && shown[0].contains("capacity: 10"), "{}", shown[0]);
}

#[test]
fn a_payload_need_be_nothing_but_shareable() {
    struct Opaque(#[allow(dead_code, reason = "opaque")] u8);
    let cache = SessionCache::new(2).unwrap();
    store(&cache, Session::new(id(1), Opaque(1)));
    store(&cache, Session::new(id(1), Opaque(2)));
    let unsized_behind: SessionCache<Box<dyn Fn() -> u8 + Send + Sync>> =
        SessionCache::new(2).unwrap();
    store(&unsized_behind, Session::new(id(1), Box::new(|| 7)));
    assert_eq!(unsized_behind.read(&id(1), |session| session()), Some(7));
    #[repr(align(256))]
    struct Aligned(u64);
    let aligned = SessionCache::new(2).unwrap();
    store(&aligned, Session::new(id(1), Aligned(5)));
    let found = aligned.get(&id(1)).unwrap();
    assert_eq!((found.0, std::ptr::from_ref(&*found).addr() % 256), (5, 0));
    let empty = SessionCache::new(2).unwrap();
    assert!(
        empty.add(Session::new(id(1), ())).is_ok_and(|added| added.changed())
            && empty.get(&id(1)).is_some()
    );
}

#[test]
fn one_session_may_weigh_as_much_as_all() {
    let builder = SessionCache::<u64>::builder().weigher(|_: &Session<u64>| 1);
    assert!(builder.max_weight(10).max_entry_weight(10).build().is_ok());
}

/// What holds a cache needs no bounds of its own.
#[test]
fn a_cache_is_held_without_bounds() {
    struct Server<T> {
        sessions: SessionCache<T>,
    }

    impl<T> Server<T> {
        fn sessions(&self) -> &SessionCache<T> {
            &self.sessions
        }
    }

    let server = Server { sessions: SessionCache::<u64>::new(10).unwrap() };
    assert!(server.sessions().is_empty());
}
