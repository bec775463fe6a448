//! `openssl s_client` and `openssl s_time`.

use std::fs;

use crate::support::{BACKENDS, CASES, Server, client, counted, scratch};

/// How the versions are called, and how they are asked for.
const VERSIONS: [(&str, &str); 2] = [("TLSv1.2", "-tls1_2"), ("TLSv1.3", "-tls1_3")];

/// One request by s_client, with a session from a file or one that is saved to it. Whether it was
/// resumed, as both sides see it; `None` where there is no s_client.
fn visit(address: &str, (name, option): (&str, &str), path: &str, file: [&str; 2]) -> Option<bool> {
    let arguments = [&["s_client", "-connect", address, option, "-ign_eof"][..], &file].concat();
    let output = client("openssl", &arguments, &format!("GET {path} HTTP/1.0\r\n\r\n"))?;
    let [new, reused] = ["New", "Reused"].map(|kind| counted(&output, &format!("{kind}, {name}")));
    assert_eq!(new + reused, 1, "{output}");
    let said = if reused == 1 { "session: resumed" } else { "session: new" };
    assert!(output.contains(said), "{output}");
    Some(reused == 1)
}

#[test]
fn openssl_reconnects_with_one_tls12_session() {
    for backend in BACKENDS {
        let server = Server::start(&["--backend", backend, "--tls", "1.2"]);
        let arguments = ["s_client", "-connect", &server.address, "-tls1_2", "-reconnect"];
        let Some(output) = client("openssl", &arguments, "") else { return };
        let both = (counted(&output, "New, TLSv1.2"), counted(&output, "Reused, TLSv1.2"));
        assert_eq!(both, (1, 5), "{backend}: {output}");
        let statistics = server.stop();
        assert!(
            statistics.contains(" puts 1,") && statistics.contains(" hits 5,"),
            "{backend}: {statistics}"
        );
    }
}

#[test]
fn openssl_times_nothing_but_resumptions() {
    for backend in BACKENDS {
        let server = Server::start(&["--backend", backend]);
        for (name, option) in VERSIONS {
            let arguments = [
                "s_time",
                "-connect",
                &server.address,
                "-reuse",
                "-time",
                "2",
                "-www",
                "/",
                option,
            ];
            let Some(output) = client("openssl", &arguments, "") else { return };
            // A line of one letter for each connection: r for one that is resumed.
            let line = output.lines().find(|line| line.starts_with('r')).unwrap_or(&output);
            assert!(
                line.starts_with('r') && line.bytes().all(|letter| letter == b'r'),
                "{backend}, {name}: {line}"
            );
        }
        server.stop();
    }
}

#[test]
fn openssl_resumes_a_saved_tls13_session_once() {
    for backend in BACKENDS {
        let server = Server::start(&["--backend", backend]);
        let saved = scratch(&format!("tls13-{backend}.pem"));
        let visit = |file: [&str; 2]| visit(&server.address, VERSIONS[1], "/", file);
        let Some(first) = visit(["-sess_out", &saved]) else { return };
        assert!(!first);
        assert_eq!(visit(["-sess_in", &saved]), Some(true), "{backend}");
        assert_eq!(
            visit(["-sess_in", &saved]),
            Some(false),
            "{backend}: a second use of the session"
        );
        let statistics = server.stop();
        assert!(statistics.contains(" taken 1,"), "{backend}: {statistics}");
    }
}

#[test]
fn openssl_resumes_what_is_there_and_nothing_else() {
    for backend in BACKENDS {
        for version in VERSIONS {
            let server = Server::start(&["--backend", backend]);
            let saved = scratch(&format!("{}-{backend}.pem", version.0));
            for (path, elsewhere, resumed) in CASES {
                let Some(first) = visit(&server.address, version, path, ["-sess_out", &saved])
                else {
                    return;
                };
                assert!(!first);
                let address = if elsewhere { &server.other } else { &server.address };
                let second = visit(address, version, "/", ["-sess_in", &saved]);
                assert_eq!(
                    second,
                    Some(resumed),
                    "{backend}, {version:?}, {path}, elsewhere: {elsewhere}"
                );
            }
            let statistics = server.stop();
            assert!(statistics.contains(" expired 1,"), "{statistics}");
            assert!(statistics.contains(" context misses 1,"), "{statistics}");
        }
    }
}

/// Overwrites ids, tickets and keys of 32 bytes in a saved session.
fn forge(saved: &str) -> Option<String> {
    let [der, forged] = ["der", "forged.pem"].map(|end| format!("{saved}.{end}"));
    client("openssl", &["sess_id", "-in", saved, "-outform", "DER", "-out", &der], "")?;
    let mut bytes = fs::read(&der).unwrap();
    let octets_32 = [0x04, 32];
    let places: Vec<usize> = bytes
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| *pair == octets_32)
        .map(|(at, _)| at + 2)
        .collect();
    assert!(!places.is_empty());
    places.iter().for_each(|&at| bytes[at..at + 32].fill(0x5a));
    fs::write(&der, bytes).unwrap();
    let arguments = ["sess_id", "-inform", "DER", "-in", &der, "-outform", "PEM", "-out", &forged];
    client("openssl", &arguments, "")?;
    Some(forged)
}

#[test]
fn openssl_gets_a_full_handshake_for_garbage() {
    for backend in BACKENDS {
        for version in VERSIONS {
            let server = Server::start(&["--backend", backend]);
            let saved = scratch(&format!("garbage-{}-{backend}.pem", version.0));
            if visit(&server.address, version, "/", ["-sess_out", &saved]).is_none() {
                return;
            }
            let Some(forged) = forge(&saved) else { return };
            let resumed = visit(&server.address, version, "/", ["-sess_in", &forged]);
            assert_eq!(resumed, Some(false), "{backend}, {version:?}");
            let statistics = server.stop();
            assert!(statistics.contains(" hits 0,"), "{backend}, {version:?}: {statistics}");
        }
    }
}
