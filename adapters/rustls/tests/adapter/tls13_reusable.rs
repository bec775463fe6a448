//! TLS 1.3 on a reusable store: what FTPS clients ask for, one session on every data channel.

use std::sync::Arc;

use crate::support::{Site, answer, hello, shake};
use rustls::HandshakeKind::{Full, Resumed};
use rustls::version::TLS13;
use sessile::Context;
use sessile_rustls::ServerStore;

#[test]
fn one_ticket_resumes_again_and_again() {
    let site = Site::new(&["localhost"]);
    let store = ServerStore::new(100).unwrap().reusable(true);
    let server = Arc::new(site.server(&TLS13, store.for_context(Context::NONE)));
    let client = Arc::new(site.client());

    assert_eq!(shake(&client, &server), Full);
    let offer = hello(&client);
    for _ in 0..5 {
        assert_eq!(answer(&server, &offer), Resumed);
    }
    let stats = store.stats();
    assert_eq!((stats.number, stats.hits, stats.taken), (2, 5, 0));
}

#[test]
fn the_choice_belongs_to_the_handle() {
    let site = Site::new(&["localhost"]);
    let store = ServerStore::new(100).unwrap();
    let single = Arc::new(site.server(&TLS13, store.for_context(Context::NONE)));
    let reusing = store.reusable(true);
    let reusing = Arc::new(site.server(&TLS13, reusing.for_context(Context::NONE)));
    let client = Arc::new(site.client());

    assert_eq!(shake(&client, &single), Full);
    let offer = hello(&client);
    assert_eq!(answer(&reusing, &offer), Resumed);
    assert_eq!(answer(&single, &offer), Resumed);
    assert_eq!(answer(&reusing, &offer), Full);
}
