//! OpenSSL's own server.

use std::process::Command;

use testkit::free_port;

use crate::process::{Server, Site, VERSIONS, is_there};

fn s_server(site: &Site, arguments: &[&str]) -> Server {
    let port = free_port();
    let mut command = Command::new("openssl");
    command.args(["s_server", "-cert", "cert.pem", "-key", "key.pem", "-accept"]);
    command.arg(port.to_string()).arg("-no_ticket").args(arguments).current_dir(site.path());
    Server::start(site.preload(&mut command, "1"), port).unwrap()
}

#[test]
fn s_server_resumes_ids_and_stateful_tickets() {
    if !is_there("openssl") {
        return;
    }
    for version in VERSIONS {
        let site = Site::new();
        let server = s_server(&site, &["-naccept", "3", "-www", version]);
        site.resumes(server.port, version);
        // The session of the first visit once more: in TLS 1.3 it is spent.
        let third = site.visit(server.port, &[version, "-sess_in", "session.pem"]);
        let is_resumed = third.contains("\nReused, ");
        assert_eq!(is_resumed, version == "-tls1_2", "{third}");
        server.end(None);
        let seen = site.statistics();
        let count = |name: &str| seen.get(name).copied().unwrap_or(0);
        assert_eq!((count("contexts_attached"), count("contexts_left")), (1, 0));
        assert_eq!((count("accept"), count("accept_good")), (3, 3), "none failed: {seen:?}");
        assert_eq!(count("resumed"), 1 + u64::from(is_resumed));
        assert_eq!(count("taken"), u64::from(version == "-tls1_3"));
    }
}

#[test]
fn s_client_reconnects() {
    if !is_there("openssl") {
        return;
    }
    let site = Site::new();
    let server = s_server(&site, &["-naccept", "6", "-www", "-tls1_2"]);
    let said = site.visit(server.port, &["-tls1_2", "-reconnect"]);
    // The page that the server answers with says it once more.
    assert_eq!(said.matches("\nReused, ").count(), 6, "{said}");
    server.end(None);
    let seen = site.statistics();
    assert_eq!((seen["accept_good"], seen["resumed"]), (6, 5));
}

#[test]
fn s_time_reuses() {
    if !is_there("openssl") {
        return;
    }
    for version in VERSIONS {
        let site = Site::new();
        let server = s_server(&site, &["-www", version]);
        let mut client = Command::new("openssl");
        client.args(["s_time", "-www", "/", "-reuse", "-time", "2", version, "-connect"]);
        let output = client.arg(format!("127.0.0.1:{}", server.port)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        // A letter for each connection: r is one that resumed, any other is a full handshake.
        let marks = said.lines().find(|line| line.starts_with('r')).unwrap_or_default();
        let resumed = marks.chars().take_while(|mark| *mark == 'r').count();
        println!("{version}: {resumed} connections of s_time resumed in two seconds");
        assert!(resumed > 0 && resumed == marks.trim_end().len(), "{version}: {said}");
    }
}
