//! OpenSSL's words, said to Sessile, in handshakes where they concern handshakes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use openssl::ssl::{SslContext, SslSession, SslSessionCacheMode, SslSessionRef, SslVersion};
use sessile::{Added, Clock, Context, Hooks, RemovalCause, Session, Timestamp};
use sessile_openssl::{ServerStore, UPDATE_TIME, UnixClock};

use crate::support::{Client, Site, backdate, duplicate};

const SECOND: Duration = Duration::from_secs(1);

fn store_and_server() -> (ServerStore, SslContext) {
    let store = ServerStore::new(100).unwrap();
    let server = Site::new()
        .server(SslVersion::TLS1_2, |context| store.attach(context, Context::NONE).unwrap());
    (store, server)
}

/// A store with one session, as its client and as the store have it.
fn one_session() -> (ServerStore, SslContext, Client, SslSession, Session<SslSession>) {
    let (store, server) = store_and_server();
    let client = Client::new();
    client.visit(&server, None);
    let offered = client.sessions().pop().unwrap();
    let stored = store.sessions().pop().unwrap();
    (store, server, client, offered, stored)
}

#[test]
fn adding_answers_what_changed() {
    let (store, .., stored) = one_session();
    let lookups = |store: &ServerStore| (store.stats().hits, store.stats().misses);
    let before = lookups(&store);
    assert!(matches!(store.add_session(&stored), Ok(Added::Identical)));
    let other = duplicate(&stored);
    assert!(
        matches!(store.add_session(&other), Ok(Added::Replaced(old)) if Session::ptr_eq(&old, &stored))
    );
    assert!(store.remove_session(&other) && !store.remove_session(&other));
    assert!(matches!(store.add_session(&stored), Ok(Added::Inserted)));
    let stats = store.stats();
    assert_eq!((stats.added, stats.identical, stats.replaced, stats.removed), (2, 1, 1, 1));
    assert_eq!(lookups(&store), before, "nothing of this is one");
}

#[test]
fn references_are_counted() {
    let (store, .., stored) = one_session();
    assert_eq!(Session::handle_count(&stored), 2, "ours and the store's");
    let another = stored.clone();
    assert_eq!(Session::handle_count(&stored), 3);
    drop(another);
    assert!(matches!(store.add_session(&stored), Ok(Added::Identical)));
    assert_eq!(Session::handle_count(&stored), 2);
    assert!(store.remove_session(&stored));
    store.cache().collect();
    assert_eq!(Session::handle_count(&stored), 1);
}

#[test]
fn sizes_are_openssls() {
    let store = ServerStore::new(5).unwrap();
    assert_eq!(store.set_cache_size(0).unwrap(), 5);
    assert_eq!((store.cache_size(), store.cache().capacity()), (0, usize::MAX), "0 is any number");
    assert_eq!(store.set_cache_size(7).unwrap(), 0);
    assert_eq!(store.cache_size(), 7);
    assert!(store.set_cache_size(usize::MAX - 1).is_err());
    assert_eq!(store.cache_size(), 7);
    assert!(
        ServerStore::new(0).is_err(),
        "Sessile's own word for any number is Capacity::Unbounded"
    );
}

#[test]
fn sessions_are_listed() {
    let (store, server) = store_and_server();
    let client = Client::new();
    (0..5).for_each(|_| assert!(!client.visit(&server, None)));
    let mut listed: Vec<_> =
        store.sessions().iter().map(|one| one.id().as_bytes().to_vec()).collect();
    let mut given: Vec<_> = client.sessions().iter().map(|one| one.id().to_vec()).collect();
    listed.sort_unstable();
    given.sort_unstable();
    assert_eq!(listed, given);
}

#[test]
fn flushing_takes_what_is_expired_or_everything() {
    let (store, .., stored) = one_session();
    let last = stored.expires_at().unwrap();
    assert_eq!(store.flush_sessions(last), 0, "valid through its last second");
    assert_eq!(store.flush_sessions(last + SECOND), 1);
    assert!(matches!(store.add_session(&stored), Ok(Added::Inserted)));
    assert_eq!(store.flush_sessions(0), 1);
    assert_eq!(store.stats().flushed, 2);
}

#[test]
fn a_timeout_is_given_to_contexts_and_sessions() {
    let store = ServerStore::new(100).unwrap();
    assert_eq!(store.set_timeout(Duration::from_secs(60)), Duration::from_secs(7_200));
    assert_eq!(store.timeout(), Duration::from_secs(60));
    let server = Site::new()
        .server(SslVersion::TLS1_2, |context| store.attach(context, Context::NONE).unwrap());
    let client = Client::new();
    client.visit(&server, None);
    let stored = store.sessions().pop().unwrap();
    assert_eq!(SslSessionRef::timeout(&stored), 60);
    assert_eq!(stored.expires_at(), Some(date_of(&stored) + 60 * SECOND));

    // A context that is attached already gives what it gave; the store keeps for as long as it is
    // told.
    store.set_timeout(Duration::from_secs(30));
    store.flush_sessions(0);
    client.visit(&server, None);
    let stored = store.sessions().pop().unwrap();
    assert_eq!(stored.expires_at(), Some(date_of(&stored) + 30 * SECOND));
}

/// When the store says that a session was made: as libssl says, or a second before where libssl's
/// clock was ahead.
fn date_of(session: &Session<SslSession>) -> Timestamp {
    let (created, time) = (session.created_at().unwrap(), time_of(session));
    assert!(created <= time && time <= created + SECOND, "{created:?}, {time:?}");
    created
}

fn time_of(session: &Session<SslSession>) -> Timestamp {
    Timestamp::from(u64::try_from(SslSessionRef::time(session)).unwrap())
}

#[test]
fn a_stored_session_can_be_dated_anew() {
    let (store, server, client, offered, stored) = one_session();
    let created = stored.created_at().unwrap();
    stored.set_timeout(Duration::from_secs(10));
    assert_eq!(store.flush_sessions(created + 10 * SECOND), 0);
    stored.set_created_at(created - 100 * SECOND);
    assert!(!client.visit(&server, Some(&offered)), "expired");
    assert_eq!(store.stats().timeouts, 1);
}

/// libssl's clock may be ahead of the coarse one by a moment, in which a second begins.
#[test]
fn a_session_of_the_next_second_is_of_this_one() {
    let (store, server, client, offered, stored) = one_session();
    let ahead = duplicate(&stored);
    let [made, next] = [time_of(&stored), UnixClock.now() + SECOND]
        .map(|time| i64::try_from(time.as_secs()).unwrap());
    backdate(&ahead, made - next);
    assert!(matches!(store.add_session(&ahead), Ok(Added::Replaced(_))));
    let created = store.sessions().pop().unwrap().created_at().unwrap();
    assert!(created <= UnixClock.now());
    assert!(client.visit(&server, Some(&offered)), "and can be used at once");
}

#[test]
fn without_the_server_flag_nothing_is_stored_or_found() {
    for flags in [SslSessionCacheMode::OFF, SslSessionCacheMode::CLIENT] {
        let (store, server, client, offered, _) = one_session();
        assert_eq!(store.set_session_cache_mode(flags), SslSessionCacheMode::SERVER);
        assert!(!client.visit(&server, Some(&offered)), "{flags:?}");
        assert_eq!((store.stats().number, store.stats().hits), (1, 0), "{flags:?}");
        store.set_session_cache_mode(SslSessionCacheMode::BOTH);
        assert!(client.visit(&server, Some(&offered)), "{flags:?}");
    }
}

#[test]
fn internal_flags_leave_the_work_to_the_callbacks() {
    let (store, server, client, offered, stored) = one_session();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    store.cache().set_hooks(Hooks::new().on_miss(move |_, _| {
        counter.fetch_add(1, Ordering::Relaxed);
        Some(stored.clone())
    }));
    store.set_session_cache_mode(
        SslSessionCacheMode::SERVER | SslSessionCacheMode::NO_INTERNAL_LOOKUP,
    );
    assert!(client.visit(&server, Some(&offered)));
    assert_eq!((asked.load(Ordering::Relaxed), store.stats().hits), (1, 0));

    store.set_session_cache_mode(
        SslSessionCacheMode::SERVER | SslSessionCacheMode::NO_INTERNAL_STORE,
    );
    store.flush_sessions(0);
    assert!(client.visit(&server, Some(&offered)));
    assert_eq!(
        (asked.load(Ordering::Relaxed), store.stats().number),
        (2, 0),
        "found there, not kept here"
    );
    let none = SslSessionCacheMode::SERVER | SslSessionCacheMode::NO_INTERNAL;
    store.set_session_cache_mode(none);
    assert_eq!(store.session_cache_mode(), none);
}

#[test]
fn auto_clear_is_a_slot_per_add() {
    for (flag, left) in [(SslSessionCacheMode::empty(), 0), (SslSessionCacheMode::NO_AUTO_CLEAR, 1)]
    {
        let (store, server) = {
            let store = ServerStore::new(10).unwrap();
            let attach = |context: &mut _| store.attach(context, Context::NONE).unwrap();
            let server = Site::new().server(SslVersion::TLS1_2, attach);
            (store, server)
        };
        store.set_session_cache_mode(SslSessionCacheMode::SERVER | flag);
        let client = Client::new();
        client.visit(&server, None);
        let old = store.sessions().pop().unwrap();
        client.visit(&server, None);
        let young = store.sessions().into_iter().find(|one| !Session::ptr_eq(one, &old)).unwrap();
        old.set_created_at(1);
        // Each replaces the one before; there are fourteen slots to look at.
        (0..28).for_each(|_| {
            assert!(store.add_session(&duplicate(&young)).is_ok_and(|added| added.changed()))
        });
        let stored = store.sessions();
        assert_eq!(
            stored.iter().filter(|one| Session::ptr_eq(one, &old)).count(),
            left,
            "{flag:?}"
        );
        assert_eq!(store.stats().expired, 1 - left as u64, "{flag:?}");
    }
}

#[test]
fn update_time_keeps_what_is_used() {
    for (flag, renewed) in [(SslSessionCacheMode::empty(), false), (UPDATE_TIME, true)] {
        let (store, server, client, offered, stored) = one_session();
        store.set_session_cache_mode(SslSessionCacheMode::SERVER | flag);
        let created = stored.created_at().unwrap() - 1_000 * SECOND;
        stored.set_created_at(created);
        assert!(client.visit(&server, Some(&offered)));
        assert_eq!(stored.created_at().unwrap() > created, renewed, "{flag:?}");
        assert_eq!(store.session_cache_mode(), SslSessionCacheMode::SERVER | flag);
    }
}

#[test]
fn callbacks_hear_of_new_and_gone_sessions() {
    let (added, removed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (store, server) = store_and_server();
    let (came, went) = (Arc::clone(&added), Arc::clone(&removed));
    store.cache().set_hooks(
        Hooks::new().on_added(move |_| _ = came.fetch_add(1, Ordering::Relaxed)).on_removed(
            move |_, cause| {
                assert_eq!(cause, RemovalCause::Flushed);
                went.fetch_add(1, Ordering::Relaxed);
            },
        ),
    );
    let client = Client::new();
    (0..3).for_each(|_| assert!(!client.visit(&server, None)));
    store.flush_sessions(0);
    assert_eq!((added.load(Ordering::Relaxed), removed.load(Ordering::Relaxed)), (3, 3));
}

/// A hook may call the cache it was called by: libssl's callbacks held its lock up to OpenSSL 3.6.
#[test]
fn a_callback_may_use_the_store() {
    let (store, server) = store_and_server();
    let inner = store.clone();
    let hooks = Hooks::new().on_added(move |session: &Session<SslSession>| {
        assert!(inner.remove_session(session));
    });
    store.cache().set_hooks(hooks);
    let client = Client::new();
    client.visit(&server, None);
    let session = client.sessions().pop().unwrap();
    assert!(!client.visit(&server, Some(&session)));
    assert_eq!((store.stats().added, store.stats().number), (2, 0));
    store.cache().set_hooks(Hooks::new());
}

/// `SSL_CTX_remove_session` itself, called by a program that knows nothing of the store.
#[test]
fn libssls_own_removal_reaches_the_store() {
    let (store, server, client, offered, stored) = one_session();
    // SAFETY: the session was made by this context.
    let in_libssl = unsafe { server.remove_session(&stored) };
    assert!(!in_libssl, "its own cache is empty");
    assert_eq!((store.stats().number, store.stats().removed), (0, 1));
    assert!(!client.visit(&server, Some(&offered)));
}
