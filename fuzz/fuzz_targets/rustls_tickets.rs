//! `ClientSessionStore` of the rustls adapter beside a list of tickets for each server.
//!
//! Tickets cannot be made, so one handshake after another fills a purse with real ones, told apart
//! by a number. A server's shelf may be evicted as a whole: then its hint and its tickets are gone
//! together, and only then.
#![forbid(unsafe_code)]
#![no_main]

#[allow(dead_code, reason = "the adapter's tests use the rest")]
#[path = "../../adapters/rustls/tests/adapter/support.rs"]
mod support;

use libfuzzer_sys::fuzz_target;
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use sessile::Context;
use sessile_rustls::{ClientContextStore, ClientStore};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use support::tickets;

/// More operations than this in one input find nothing that fewer do not.
const OPERATIONS_MAX: usize = 60;

/// As many as the store keeps for a server.
const TICKETS_PER_SERVER: usize = 8;

const TICKETS_PER_HANDSHAKE: usize = 250;

thread_local! {
    static PURSE: RefCell<Vec<Tls13ClientSessionValue>> = const { RefCell::new(Vec::new()) };
}

/// A ticket with a number.
fn ticket(number: u32) -> Tls13ClientSessionValue {
    let kept = PURSE.with(|purse| purse.borrow_mut().pop());
    let mut ticket = kept.unwrap_or_else(|| {
        let mut tickets = tickets(TICKETS_PER_HANDSHAKE);
        let last = tickets.pop().expect("a handshake brings tickets");
        PURSE.with(|purse| purse.borrow_mut().extend(tickets));
        last
    });
    ticket._private_set_max_early_data_size(number);
    ticket
}

/// What the store should know of a server; the newest ticket last.
#[derive(Default)]
struct Shelf {
    group: Option<NamedGroup>,
    tickets: Vec<u32>,
}

struct Pair {
    store: ClientStore,
    contexts: [Arc<ClientContextStore>; 2],
    shelves: HashMap<(usize, String), Shelf>,
    /// There is room for every server, so nothing may be lost.
    is_roomy: bool,
    made: u32,
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, operations)) = data.split_first() else { return };
    let mut pair = Pair::new(choice & 1 != 0);
    for operation in operations.chunks_exact(2).take(OPERATIONS_MAX) {
        pair.apply(operation[0], operation[1]);
        assert!(pair.store.len() <= pair.store.capacity());
    }
});

/// Seven names of five servers: the case of a name does not count, and an address is no name.
fn server(choice: u8) -> (String, ServerName<'static>) {
    const NAMES: [&str; 7] = [
        "a.example",
        "A.Example",
        "b.example",
        "192.0.2.1",
        "2001:db8::1",
        "192.0.2.10",
        "2001:DB8:0::1",
    ];
    let name = NAMES[usize::from(choice) % NAMES.len()];
    let server = ServerName::try_from(name).expect("a valid name");
    let canonical = server.to_str().to_ascii_lowercase();
    (canonical, server)
}

impl Pair {
    fn new(is_roomy: bool) -> Self {
        let store = ClientStore::new(if is_roomy { 14 } else { 3 }).expect("a valid capacity");
        let contexts =
            [Context::NONE, Context::from_bytes([1; 32])].map(|one| store.for_context(one));
        Self { store, contexts, shelves: HashMap::new(), is_roomy, made: 0 }
    }

    fn apply(&mut self, kind: u8, name: u8) {
        let number = usize::from(kind >> 7);
        let context = Arc::clone(&self.contexts[number]);
        let (canonical, server) = server(name);
        self.notice_eviction(&context, &server, (number, canonical.clone()));
        let shelf = self.shelves.entry((number, canonical)).or_default();
        if !self.is_roomy && shelf.group.is_none() {
            // Only a shelf with a hint shows that it was evicted.
            context.set_kx_hint(server.clone(), NamedGroup::X25519);
            shelf.group = Some(NamedGroup::X25519);
        }
        match kind % 8 {
            0..=2 => {
                self.made += 1;
                context.insert_tls13_ticket(server, ticket(self.made));
                shelf.tickets.push(self.made);
                let surplus = shelf.tickets.len().saturating_sub(TICKETS_PER_SERVER);
                shelf.tickets.drain(..surplus);
            }
            3..=5 => {
                let taken = context.take_tls13_ticket(&server);
                let expected = shelf.tickets.pop();
                assert_eq!(
                    taken.as_ref().map(Tls13ClientSessionValue::max_early_data_size),
                    expected
                );
                PURSE.with(|purse| purse.borrow_mut().extend(taken));
            }
            6 => {
                let group = NamedGroup::from(1 + u16::from(name));
                context.set_kx_hint(server, group);
                shelf.group = Some(group);
            }
            _ => {
                context.remove_tls12_session(&server);
                assert!(context.tls12_session(&server).is_none());
            }
        }
    }

    /// Looks at the hint, which tells whether the shelf is still there, and uses it as a lookup
    /// does.
    fn notice_eviction(
        &mut self,
        context: &ClientContextStore,
        server: &ServerName<'_>,
        place: (usize, String),
    ) {
        let Some(shelf) = self.shelves.get(&place) else {
            return assert_eq!(context.kx_hint(server), None, "a server that was never heard of");
        };
        let hint = context.kx_hint(server);
        if hint == shelf.group {
            return;
        }
        assert_eq!(hint, None, "a hint that was not given");
        assert!(!self.is_roomy, "forgotten although there was room");
        self.shelves.remove(&place);
    }
}
