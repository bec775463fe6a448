//! The client store: at most eight TLS 1.3 tickets for a server, each given out at most once.

use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use crate::support::{Site, name, shake};
use rustls::HandshakeKind::{Full, Resumed};
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use sessile::Context;
use sessile_rustls::{ClientStore, ServerStore};
use testkit::race;

/// Keeps every ticket it is given, for the tests to hand out.
#[derive(Debug, Default)]
struct Collector(Mutex<Vec<Tls13ClientSessionValue>>);

impl ClientSessionStore for Collector {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }
    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}
    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }
    fn remove_tls12_session(&self, _: &ServerName<'static>) {}
    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.0.lock().unwrap().push(ticket);
    }
    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}

/// Tickets with `max_early_data_size` 1, 2, 3 …, to tell them apart.
fn tickets(count: u32) -> Vec<Tls13ClientSessionValue> {
    let site = Site::new(&["localhost"]);
    let mut server =
        site.server(&TLS13, ServerStore::new(1_000).unwrap().for_context(Context::NONE));
    server.send_tls13_tickets = count as usize;
    let collector = Arc::new(Collector::default());
    assert_eq!(shake(&Arc::new(site.client_with(collector.clone())), &Arc::new(server)), Full);
    let mut tickets = std::mem::take(&mut *collector.0.lock().unwrap());
    assert_eq!(tickets.len(), count as usize);
    for (ticket, number) in tickets.iter_mut().zip(1..) {
        ticket._private_set_max_early_data_size(number);
    }
    tickets
}

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
fn racing_threads_put_and_take_without_duplicates() {
    const THREADS: usize = 4;
    const EACH: usize = 100;
    let store = ClientStore::new(100).unwrap().for_context(Context::NONE);
    let mut all = tickets((THREADS * EACH) as u32);
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
