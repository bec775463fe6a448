//! Sessions outlive the configuration that made them: a renewed certificate costs no full
//! handshakes.

use std::sync::Arc;

use crate::support::{BOTH, Site, client_of, shake, shake_with};
use rustls::HandshakeKind::{Full, Resumed};
use sessile::Context;
use sessile_rustls::ServerStore;

#[test]
fn a_renewed_certificate_keeps_the_sessions() {
    for version in BOTH {
        let (old, new) = (Site::new(&["localhost"]), Site::new(&["localhost"]));
        let client = Arc::new(client_of(&[&old, &new]));
        let store = ServerStore::new(100).unwrap();
        let context = Context::digest(["localhost"]);

        let server = Arc::new(old.server(version, store.for_context(context)));
        assert_eq!(shake(&client, &server), Full);
        drop(server);
        let server = Arc::new(new.server(version, store.for_context(context)));
        assert_eq!(shake(&client, &server), Resumed);
        assert_eq!(shake(&client, &server), Resumed);
    }
}

#[test]
fn many_certificates_share_one_cache() {
    for version in BOTH {
        let hosts = ["a.example", "b.example", "c.example"];
        let sites = hosts.map(|host| Site::new(&[host]));
        let client = Arc::new(client_of(&[&sites[0], &sites[1], &sites[2]]));
        let store = ServerStore::new(100).unwrap();
        let server = |index: usize| {
            let context = Context::digest([hosts[index]]);
            Arc::new(sites[index].server(version, store.for_context(context)))
        };
        let servers = [server(0), server(1), server(2)];

        for expected in [Full, Resumed, Resumed] {
            for (host, server) in hosts.iter().zip(&servers) {
                assert_eq!(shake_with(host, &client, server), expected);
            }
        }
    }
}
