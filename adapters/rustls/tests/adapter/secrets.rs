//! Nothing that was stored shows in `Debug`.

use rustls::server::StoresServerSessions;
use sessile::Context;
use sessile_rustls::{ClientStore, ServerStore};

#[test]
fn debug_shows_sizes_only() {
    let store = ServerStore::new(100).unwrap();
    let context = store.for_context(Context::from_bytes([0xab; 32]));
    assert!(context.put(vec![0xcd; 32], vec![0xef; 100]));
    let client = ClientStore::new(100).unwrap();
    let shown = format!("{store:?} {context:?} {client:?} {:?}", client.for_context(Context::NONE));
    assert!(shown.contains("capacity: 100"), "{shown}");
    for secret in ["171", "205", "239", "abab", "cdcd", "efef"] {
        assert!(!shown.to_lowercase().contains(secret), "{shown}");
    }
}
