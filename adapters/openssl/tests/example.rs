//! Runs the example to its end.
#![expect(dead_code, reason = "the example's own `main`")]

use openssl::ssl::SslVersion;

#[path = "../examples/server.rs"]
mod server;

#[test]
fn clients_resume_across_the_renewal_of_a_certificate() {
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        assert_eq!(server::run(version).unwrap(), [false, true, true], "{version:?}");
    }
}
