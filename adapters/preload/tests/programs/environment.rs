//! The variables, on OpenSSL's own server.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use testkit::free_port;

use crate::process::{Server, Site, is_there};

/// A server of TLS 1.3 with variables, for so many connections.
fn start(site: &Site, connections: u32, variables: &[(&str, &str)]) -> Server {
    let port = free_port();
    let mut command = Command::new("openssl");
    command.args(["s_server", "-cert", "cert.pem", "-key", "key.pem", "-no_ticket", "-www"]);
    command.args(["-accept", &port.to_string(), "-naccept", &connections.to_string(), "-tls1_3"]);
    site.preload(&mut command, "1").envs(variables.iter().copied()).stderr(Stdio::null());
    Server::start(command.current_dir(site.path()), port).unwrap()
}

fn resumes(site: &Site, server: &Server) -> bool {
    site.visit(server.port, &["-tls1_3", "-sess_in", "session.pem"]).contains("\nReused, ")
}

#[test]
fn a_capacity_is_that_of_the_environment() {
    if !is_there("openssl") {
        return;
    }
    let site = Site::new();
    let server = start(&site, 2, &[("SESSILE_CAPACITY", "77"), ("SESSILE_POLICY", "fifo")]);
    site.resumes(server.port, "-tls1_3");
    server.end(None);
    assert_eq!(site.statistics()["capacity"], 77);
}

#[test]
fn a_ticket_is_reused_if_the_environment_says_so() {
    if !is_there("openssl") {
        return;
    }
    let site = Site::new();
    let server = start(&site, 4, &[("SESSILE_REUSABLE", "1")]);
    site.resumes(server.port, "-tls1_3");
    assert!(resumes(&site, &server) && resumes(&site, &server));
    server.end(None);
    assert_eq!(site.statistics()["resumed"], 3);
}

#[test]
fn sessions_end_when_the_environment_says_so() {
    if !is_there("openssl") {
        return;
    }
    for variable in ["SESSILE_TIMEOUT", "SESSILE_DEADLINE"] {
        let site = Site::new();
        let server = start(&site, 2, &[(variable, "1")]);
        let first = site.visit(server.port, &["-tls1_3", "-sess_out", "session.pem"]);
        assert!(first.contains("\nNew, "), "{first}");
        // A session is valid through its last second.
        sleep(Duration::from_millis(2_100));
        assert!(!resumes(&site, &server), "{variable}");
        server.end(None);
        let seen = site.statistics();
        assert_eq!((seen["accept_good"], seen.get("resumed")), (2, None), "{variable}: {seen:?}");
    }
}

#[test]
fn what_says_nothing_is_said_and_ignored() {
    if !is_there("openssl") {
        return;
    }
    let site = Site::new();
    let run = |variables: &[(&str, &str)]| {
        let mut command = Command::new("openssl");
        command.args(["s_server", "-cert", "cert.pem", "-key", "key.pem", "-naccept", "1", "-www"]);
        let port = free_port();
        command.args(["-accept", &port.to_string()]).current_dir(site.path());
        site.preload(&mut command, "1").env("SESSILE_STATS", "1").envs(variables.iter().copied());
        let server = Server::start(command.stderr(Stdio::piped()), port).unwrap();
        site.visit(port, &["-tls1_3"]);
        server.end_with_errors()
    };
    let said = run(&[("SESSILE_CAPACITY", "many"), ("SESSILE_POLICY", "random")]);
    assert!(
        said.contains("SESSILE_CAPACITY=\"many\"") && said.contains("SESSILE_POLICY=\"random\"")
    );
    let statistics = said.lines().find(|line| line.starts_with("sessile: pid=")).unwrap();
    assert!(statistics.contains(" contexts_attached=1 ") && statistics.contains(" accept_good=1 "));
    let said = run(&[("SESSILE_ATTACH", "yes")]);
    assert!(said.contains("SESSILE_ATTACH=\"yes\"") && !said.contains("pid="), "{said}");
}
