//! What the optional features tell the crates `metrics` and `tracing`.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use rustls::server::StoresServerSessions;
use sessile::{Context, Mode, Protocol, Resumptions};
use sessile_rustls::ServerStore;

#[test]
fn metrics_hears_every_number_of_a_cache_with_its_name() {
    let store = ServerStore::new(100).unwrap();
    assert!(store.for_context(Context::NONE).put(vec![1; 32], vec![0; 100]));
    let recorder = DebuggingRecorder::new();
    let heard = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || store.status().publish("web"));
    let heard = heard.snapshot().into_vec();
    assert_eq!(heard.len(), store.status().metrics().count());
    let value = |name: &str| {
        let found = heard.iter().find(|(key, ..)| key.key().name() == name).unwrap();
        let labels: Vec<_> = found.0.key().labels().map(|label| label.value()).collect();
        assert_eq!(labels, ["web"]);
        &found.3
    };
    assert_eq!(*value("sessile_added"), DebugValue::Counter(1));
    assert_eq!(*value("sessile_capacity"), DebugValue::Gauge(100.0.into()));
}

#[test]
fn what_is_counted_can_be_shown_as_json() {
    let store = ServerStore::new(100).unwrap();
    assert!(store.for_context(Context::NONE).put(vec![1; 32], vec![0; 100]));
    store.cache().set_mode(Mode { store: false, ..Mode::default() });
    assert!(!store.for_context(Context::NONE).put(vec![2; 32], vec![0; 100]));
    let shown = serde_json::to_value(store.status()).unwrap();
    assert_eq!((&shown["stats"]["added"], &shown["capacity"]), (&1.into(), &100.into()));
    assert_eq!(shown["stats"]["rejections"]["StoreDisabled"], 1);
    let site = Resumptions::new();
    site.found(Protocol::TLS1_3, Duration::from_secs(30));
    let shown = serde_json::to_value(site.figures()).unwrap();
    assert_eq!((&shown["tls13"]["found"], &shown["ages"]["counts"][2]), (&1.into(), &1.into()));
}

/// Lines that were written.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn tracing_hears_of_refusals_and_revocations_and_of_no_secret() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let store = ServerStore::new(100).unwrap();
        let sessions = store.for_context(Context::NONE);
        assert!(sessions.put(vec![1; 32], b"secret".to_vec()));
        store.cache().set_mode(Mode { store: false, ..Mode::default() });
        assert!(!sessions.put(vec![2; 32], b"secret".to_vec()));
        store.revoke(Context::NONE);
    });
    let heard = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert_eq!(heard.lines().count(), 2, "{heard}");
    assert!(heard.contains("session refused") && heard.contains("reason=storing is switched off"));
    assert!(heard.contains("context revoked") && !heard.contains("secret"), "{heard}");
}
