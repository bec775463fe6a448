//! What is counted apart: by the counters that a handle was given, by protocol and by age.

use std::sync::Arc;
use std::time::Duration;

use crate::support::{Site, answer, hello, shake};
use rustls::HandshakeKind::{Full, Resumed};
use rustls::version::{TLS12, TLS13};
use sessile::{Context, ManualClock, Resumptions};
use sessile_rustls::ServerStore;

#[test]
fn resumptions_are_counted_where_the_program_says() {
    let (site, clock) = (Site::new(&["localhost"]), Arc::new(ManualClock::new(1_000_000)));
    let store = ServerStore::builder()
        .capacity(100)
        .timeout(Duration::from_secs(7200))
        .cache(|cache| cache.clock(Arc::clone(&clock)))
        .build()
        .unwrap();
    let [old, new] = [0; 2].map(|_| Arc::new(Resumptions::new()));
    let of = |name: &str| Context::digest([name]);
    let at = |version, counters, name| {
        let sessions = store.clone().count_in(counters).for_context(of(name));
        Arc::new(site.server(version, sessions))
    };
    let (tls12, tls13) = (at(&TLS12, &old, "old"), at(&TLS13, &new, "new"));
    let (client12, client13) = (Arc::new(site.client()), Arc::new(site.client()));
    assert_eq!((shake(&client12, &tls12), shake(&client13, &tls13)), (Full, Full));
    let before = (old.figures(), new.figures());
    clock.advance(Duration::from_secs(100));
    for _ in 0..3 {
        assert_eq!(shake(&client12, &tls12), Resumed);
    }
    assert_eq!(shake(&client13, &tls13), Resumed);
    let offer = hello(&client13);
    assert_eq!((answer(&tls13, &offer), answer(&tls13, &offer)), (Resumed, Full));

    let (old, new) = (old.figures(), new.figures());
    assert_eq!((old.tls12.found, old.tls12.missed), (3, before.0.tls12.missed));
    assert_eq!(old.tls13.ratio(), None);
    assert_eq!((new.tls13.found, new.tls13.missed), (2, before.1.tls13.missed + 1));
    let younger = |figures: &sessile::ResumptionFigures, seconds| {
        let bound = Some(Duration::from_secs(seconds));
        figures.ages.cumulative().find(|(known, _)| *known == bound).unwrap().1
    };
    assert_eq!((younger(&old, 60), younger(&old, 300)), (0, 3));
    assert_eq!(old.ages.sum(), Duration::from_secs(300));
    assert_eq!(store.stats().hits, 5, "the store's own count is of all");
}
