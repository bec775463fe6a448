//! Runs each recipe to its end.
#![expect(dead_code, reason = "the recipes' own `main`")]

use rustls::HandshakeKind::{Full, Resumed};

#[path = "../examples/axum_reload.rs"]
mod axum_reload;
#[path = "../examples/prometheus.rs"]
mod prometheus;
#[path = "../examples/quic_early_data.rs"]
mod quic_early_data;
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
    let shown = prometheus::run().await.unwrap();
    for line in [
        "sessile_accept_good_total 3",
        "sessile_resumed_total 2",
        "sessile_taken_total 2",
        "# TYPE sessile_sessions gauge",
        "sessile_capacity 100000",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} in\n{shown}");
    }
}
