//! curl: two requests over two connections.

use crate::support::{BACKENDS, Server, client};

/// What curl was answered about its connections.
fn sessions(output: &str) -> Vec<&str> {
    output.lines().filter_map(|line| line.strip_prefix("session: ")).collect()
}

#[test]
fn curl_resumes_its_second_request() {
    for backend in BACKENDS {
        for version in ["1.2", "1.3"] {
            let server = Server::start(&["--backend", backend, "--tls", version]);
            let url = format!("https://{}/", server.address);
            let Some(output) = client("curl", &["--silent", "--insecure", &url, &url], "") else {
                return;
            };
            assert_eq!(sessions(&output), ["new", "resumed"], "{backend}, TLS {version}: {output}");
            server.stop();
        }
    }
}

/// curl keeps sessions for as long as it runs, and for each server by itself: of what must not be
/// resumed it can try what is gone from the store.
#[test]
fn curl_starts_anew_after_what_is_gone() {
    for backend in BACKENDS {
        for version in ["1.2", "1.3"] {
            for (errand, second) in [("forget", "new"), ("expire", "new"), ("replace", "resumed")] {
                let server = Server::start(&["--backend", backend, "--tls", version]);
                let url = format!("https://{}/{errand}", server.address);
                let Some(output) = client("curl", &["--silent", "--insecure", &url, &url], "")
                else {
                    return;
                };
                assert_eq!(
                    sessions(&output),
                    ["new", second],
                    "{backend}, TLS {version}, {errand}"
                );
            }
        }
    }
}

#[test]
fn every_store_serves() {
    let stores = [
        ("rustls", "sessile"),
        ("rustls", "rustls"),
        ("rustls", "moka"),
        ("rustls", "moka-lru"),
        ("openssl", "sessile"),
        ("openssl", "libssl"),
    ];
    for (backend, store) in stores.into_iter().filter(|(backend, _)| BACKENDS.contains(backend)) {
        let server = Server::start(&["--backend", backend, "--store", store, "--capacity", "100"]);
        let url = format!("https://{}/", server.address);
        let Some(output) = client("curl", &["--silent", "--insecure", &url, &url], "") else {
            return;
        };
        assert!(output.contains("session: resumed"), "{backend}, {store}: {output}");
        let statistics = server.stop();
        assert!(statistics.starts_with(&format!("{store}: capacity 100, ")), "{statistics}");
    }
}
