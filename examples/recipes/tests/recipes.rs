//! Runs each recipe to its end.
#![expect(dead_code, reason = "the recipes' own `main`")]

use std::collections::HashSet;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use recipes::exposition;
use rustls::HandshakeKind::{Full, Resumed};
use serde_json::Value;
use sessile::{MetricKind, Secret, SessionCache};
use sessile_redis::{KeyRing, SealingKey, Tier};
use testkit::free_port;

#[path = "../examples/axum_reload.rs"]
mod axum_reload;
#[path = "../examples/prometheus.rs"]
mod prometheus;
#[path = "../examples/quic_early_data.rs"]
mod quic_early_data;
#[path = "../examples/two_nodes.rs"]
mod two_nodes;
#[path = "../examples/two_tenants.rs"]
mod two_tenants;

#[tokio::test]
async fn clients_resume_across_the_renewal_of_a_certificate() {
    assert_eq!(axum_reload::run().await.unwrap(), [Full, Resumed, Resumed]);
}

#[tokio::test]
async fn early_data_are_accepted_once_there_is_a_session() {
    assert_eq!(quic_early_data::run().await.unwrap(), [false, true, true]);
}

#[tokio::test]
async fn each_tenant_resumes_its_own_sessions_only() {
    assert_eq!(two_tenants::run().await.unwrap(), [0, 1, 1, 2, 3]);
}

#[tokio::test]
async fn prometheus_is_shown_what_happened() {
    let (shown, store) = prometheus::run().await.unwrap();
    for line in [
        "sessile_accept_good_total 3",
        "sessile_resumed_total 2",
        "sessile_taken_total 2",
        "# TYPE sessile_sessions gauge",
        "sessile_capacity 100000",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} in\n{shown}");
    }
    let value = |name: &str| {
        let of = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<f64>().ok();
        shown.lines().find_map(of).unwrap_or_else(|| panic!("{name} in\n{shown}"))
    };
    for metric in store.status().metrics() {
        let end = if metric.kind == MetricKind::Counter { "_total" } else { "" };
        assert_eq!(value(&format!("sessile_{}{end}", metric.name)), metric.value as f64);
    }
    let offers = |outcome: &str| {
        let labels = format!("protocol=\"TLS 1.3\",outcome=\"{outcome}\"");
        value(&format!("sessile_offers_total{{context=\"www.example.org\",{labels}}}"))
    };
    let stats = store.stats();
    assert_eq!((offers("found"), offers("missed")), (stats.hits as f64, stats.misses as f64));
    let age = "sessile_resumption_age_seconds";
    let ages = value(&format!("{age}_count{{context=\"www.example.org\"}}"));
    assert_eq!(ages, stats.hits as f64);
    assert_eq!(value(&format!("{age}_bucket{{context=\"www.example.org\",le=\"+Inf\"}}")), ages);
}

/// Every name that a query of the dashboard uses is one that is exposed.
#[tokio::test]
async fn the_dashboard_asks_for_what_is_exposed() {
    // A tier need not be up to be asked how it does.
    let cache = Arc::new(SessionCache::<Secret>::new(1).unwrap());
    let tier = Tier::builder(KeyRing::new(SealingKey::generate().unwrap()));
    let tier = tier.attach(&cache, "redis://127.0.0.1:1/").unwrap();
    let exposed = prometheus::run().await.unwrap().0 + &exposition::tier(&tier.stats());
    let names: HashSet<&str> = exposed
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let dashboard: Value = serde_json::from_str(include_str!("../dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let queries: Vec<&str> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap())
        .map(|target| target["expr"].as_str().unwrap())
        .collect();
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let asked: HashSet<&str> = queries
        .iter()
        .flat_map(|query| query.split(|letter| !is_part(letter)))
        .filter(|word| word.starts_with("sessile_"))
        .collect();
    assert!(panels.len() >= 10 && asked.len() >= 20, "{asked:?}");
    let strange: Vec<_> = asked.difference(&names).collect();
    assert!(strange.is_empty(), "{strange:?} of {names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_resume_each_others_sessions() {
    for _ in 0..3 {
        let Some((mut server, address)) = redis_server() else {
            return eprintln!("skipped: redis-server is not installed");
        };
        let kinds = two_nodes::run(&address, Duration::from_secs(60)).await;
        let has_ended = server.try_wait().unwrap().is_some();
        let _ = server.kill();
        server.wait().unwrap();
        if !has_ended {
            return assert_eq!(kinds.unwrap(), [Full, Resumed, Resumed, Resumed]);
        }
        println!("the server has ended: somebody else has got its port");
    }
    panic!("no server stays");
}

/// A server on a free port of loopback.
fn redis_server() -> Option<(Child, String)> {
    let port = free_port();
    let server = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .stdout(Stdio::null())
        .spawn()
        .ok()?;
    Some((server, format!("redis://127.0.0.1:{port}/")))
}
