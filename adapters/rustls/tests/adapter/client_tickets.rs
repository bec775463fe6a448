//! The client store: at most eight TLS 1.3 tickets for a server, each given out at most once.

use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use crate::support::{Site, name, shake, tickets};
use rustls::HandshakeKind::{Full, Resumed};
use rustls::client::ClientSessionStore;
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use sessile::Context;
use sessile_rustls::{ClientStore, ServerStore};
use testkit::race;

fn take_all(store: &dyn ClientSessionStore, server: &ServerName<'static>) -> Vec<u32> {
    std::iter::from_fn(|| store.take_tls13_ticket(server))
        .map(|ticket| ticket.max_early_data_size())
        .collect()
}

#[test]
fn the_eight_newest_tickets_are_kept() {
    let store = ClientStore::new(100).unwrap().for_context(Context::NONE);
    for ticket in tickets(20) {
        store.insert_tls13_ticket(name("localhost"), ticket);
    }
    assert_eq!(take_all(&*store, &name("localhost")), [20, 19, 18, 17, 16, 15, 14, 13]);
    assert_eq!(take_all(&*store, &name("localhost")), []);
}

#[test]
fn a_ticket_taken_makes_room_for_one() {
    let store = ClientStore::new(100).unwrap().for_context(Context::NONE);
    let mut tickets = tickets(10).into_iter();
    let mut put = |count: usize| {
        tickets
            .by_ref()
            .take(count)
            .for_each(|ticket| store.insert_tls13_ticket(name("localhost"), ticket));
    };
    put(8);
    let taken: Vec<_> = (0..3)
        .map(|_| store.take_tls13_ticket(&name("localhost")).unwrap().max_early_data_size())
        .collect();
    assert_eq!(taken, [8, 7, 6]);
    put(2);
    assert_eq!(take_all(&*store, &name("localhost")), [10, 9, 5, 4, 3, 2, 1]);
}

#[test]
fn eight_tickets_are_eight_resumptions() {
    let site = Site::new(&["localhost"]);
    let server_store = ServerStore::new(100).unwrap();
    let server = |tickets: usize| {
        let mut config = site.server(&TLS13, server_store.for_context(Context::NONE));
        config.send_tls13_tickets = tickets;
        Arc::new(config)
    };
    let store = ClientStore::new(100).unwrap();
    let client = Arc::new(site.client_with(store.for_context(Context::NONE)));

    assert_eq!(shake(&client, &server(20)), Full);
    assert_eq!(store.len(), 1, "one entry for the server");
    let silent = server(0);
    for _ in 0..8 {
        assert_eq!(shake(&client, &silent), Resumed);
    }
    assert_eq!(shake(&client, &silent), Full);
}

#[test]
fn racing_threads_take_each_ticket_once() {
    const THREADS: usize = 4;
    let names: Vec<_> = (0..8).map(|number| name(&format!("host{number}.example"))).collect();
    let store = ClientStore::new(100).unwrap().for_context(Context::NONE);
    for _ in 0..20 {
        let mut tickets = tickets(64).into_iter();
        for server in &names {
            tickets
                .by_ref()
                .take(8)
                .for_each(|ticket| store.insert_tls13_ticket(server.clone(), ticket));
        }
        let take =
            |_| names.iter().flat_map(|server| take_all(&*store, server)).collect::<Vec<_>>();
        let mut taken: Vec<u32> = race(THREADS, take).concat();
        taken.sort_unstable();
        assert_eq!(taken, (1..=64).collect::<Vec<_>>(), "all of them, none twice");
    }
}

#[test]
fn threads_that_meet_a_server_lose_no_ticket_to_each_other() {
    const THREADS: usize = 4;
    let store = ClientStore::new(100).unwrap();
    for round in 0..200 {
        let mut all = tickets(THREADS * 2);
        // A context of its own: nobody has met the server there.
        let store = store.for_context(Context::digest([format!("round {round}")]));
        let shares: Vec<_> =
            (0..THREADS).map(|_| Mutex::new(all.split_off(all.len() - 2))).collect();
        race(THREADS, |thread| {
            for ticket in shares[thread].lock().unwrap().drain(..) {
                store.insert_tls13_ticket(name("localhost"), ticket);
            }
        });
        assert_eq!(take_all(&*store, &name("localhost")).len(), 8, "round {round}");
    }
}

#[test]
fn racing_threads_put_and_take_without_duplicates() {
    const THREADS: usize = 4;
    const EACH: usize = 100;
    let store = ClientStore::new(100).unwrap().for_context(Context::NONE);
    let mut all = tickets(THREADS * EACH);
    let shares: Vec<Vec<_>> = (0..THREADS).map(|_| all.split_off(all.len() - EACH)).collect();
    let start = Barrier::new(THREADS);
    let mut taken: Vec<u32> = thread::scope(|scope| {
        let threads: Vec<_> = shares
            .into_iter()
            .map(|share| {
                scope.spawn(|| {
                    start.wait();
                    let mut taken = Vec::new();
                    for (index, ticket) in share.into_iter().enumerate() {
                        store.insert_tls13_ticket(name("localhost"), ticket);
                        if index % 2 == 0 {
                            taken.extend(store.take_tls13_ticket(&name("localhost")));
                        }
                    }
                    taken.into_iter().map(|ticket| ticket.max_early_data_size()).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let rest = take_all(&*store, &name("localhost"));
    assert!(rest.len() <= 8, "{rest:?}");
    taken.extend(rest);
    let count = taken.len();
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(taken.len(), count, "none twice");
}
