//! TLS 1.2: sessions by id, resumed until they leave.

use openssl::ssl::SslVersion;
use sessile::Context;
use sessile_openssl::ServerStore;

use crate::support::{BOTH, Client, Counter, Link, Site, counted};
use openssl::ssl::Ssl;

#[test]
fn probe() {
    for version in BOTH {
        let site = Site::new();
        let store = ServerStore::new(100).unwrap();
        let server = site.server(version, |b| store.attach(b, Context::NONE).unwrap());
        let client = Client::new();
        println!("{version:?} {}", client.visit(&server, None));
        let got = client.sessions();
        println!("got {} stored {} {:?}", got.len(), store.sessions().len(), store.sessions());
        println!("resume {}", client.visit(&server, got.last()));
        println!("resume again {}", client.visit(&server, got.last()));
        println!("got {} stored {}", client.sessions().len(), store.sessions().len());
        println!("{:#?}", store.stats());
        for c in [
            Counter::Accept,
            Counter::AcceptGood,
            Counter::Hits,
            Counter::CbHits,
            Counter::Misses,
            Counter::Number,
        ] {
            println!("{c:?} {}", counted(&server, c));
        }
        // unclean
        let mut link = Link::new(client.ssl(None), Ssl::new(&server).unwrap());
        link.handshake().unwrap();
        link.exchange();
        println!("before drop {}", store.sessions().len());
        drop(link);
        println!("after drop {}", store.sessions().len());
    }
    // HRR
    let site = Site::new();
    let store = ServerStore::new(100).unwrap();
    let server = site.server(SslVersion::TLS1_3, |b| {
        b.set_groups_list("P-256").unwrap();
        store.attach(b, Context::NONE).unwrap()
    });
    let client = Client::with(|b| b.set_groups_list("X25519:P-256").unwrap());
    println!("{}", client.visit(&server, None));
    let got = client.sessions();
    println!("HRR resume {} {:?}", client.visit(&server, got.last()), store.stats());
}
