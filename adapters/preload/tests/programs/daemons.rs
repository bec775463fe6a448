//! Servers of a distribution: what uses libssl's cache is served by the store, what has a cache of
//! its own is left to itself. All of them resume.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;

use testkit::free_port;

use crate::process::{Server, Site, VERSIONS, is_there};

/// Visits in both versions, ends the server, and tells how many contexts were attached and left.
fn judge(site: &Site, server: Server, signal: &str) -> (u64, u64) {
    for version in VERSIONS {
        site.resumes(server.port, version);
    }
    server.end(Some(signal));
    let seen = site.statistics();
    let count = |name: &str| seen.get(name).copied().unwrap_or(0);
    if count("contexts_attached") > 0 {
        assert_eq!(
            (count("accept"), count("accept_good"), count("resumed")),
            (4, 4, 2),
            "{seen:?}"
        );
    }
    (count("contexts_attached"), count("contexts_left"))
}

fn nginx(cache: &str) -> Option<(u64, u64)> {
    let (site, port) = (Site::new(), free_port());
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let folders = folders.map(|name| format!("{name}_temp_path {name};")).concat();
    let configuration = format!(
        "daemon off; master_process off; pid pid; error_log stderr; events {{}}\n\
         http {{ access_log off; {folders} server {{ listen 127.0.0.1:{port} ssl;\n\
         ssl_certificate cert.pem; ssl_certificate_key key.pem; ssl_protocols TLSv1.2 TLSv1.3;\n\
         ssl_session_cache {cache}; ssl_session_tickets off; return 200 hello; }} }}"
    );
    let file = site.write("nginx.conf", configuration.as_bytes());
    let mut command = Command::new("nginx");
    command.args(["-e", "stderr", "-c", &file, "-p"]).arg(site.path()).stderr(Stdio::null());
    let server = Server::start(site.preload(&mut command, "1"), port)?;
    Some(judge(&site, server, "-QUIT"))
}

#[test]
fn nginx_with_a_builtin_cache_is_served() {
    if is_there("openssl") && is_there("nginx") {
        assert_eq!(nginx("builtin:1000").unwrap(), (1, 0));
    }
}

#[test]
fn nginx_with_a_shared_cache_is_left_alone() {
    if is_there("openssl") && is_there("nginx") {
        assert_eq!(nginx("shared:sessions:1m").unwrap(), (0, 1));
    }
}

/// stunnel stores nothing in libssl's cache: its clients resume by tickets.
#[test]
fn stunnel_is_left_alone() {
    if !is_there("openssl") || !is_there("stunnel4") {
        return;
    }
    let (site, port) = (Site::new(), free_port());
    let behind = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = behind.local_addr().unwrap();
    // Ends with the test's process.
    thread::spawn(move || {
        for connection in behind.incoming() {
            let mut connection = connection.unwrap();
            let _read = connection.read(&mut [0; 100]);
            let _written = connection.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello");
        }
    });
    let pem = site.file("both.pem");
    let configuration = format!(
        "foreground = yes\npid =\n[x]\naccept = 127.0.0.1:{port}\nconnect = {to}\ncert = {pem}\n"
    );
    let file = site.write("stunnel.conf", configuration.as_bytes());
    let mut command = Command::new("stunnel4");
    command.arg(file).stderr(Stdio::null());
    let server = Server::start(site.preload(&mut command, "1"), port).unwrap();
    assert_eq!(judge(&site, server, "-TERM"), (0, 1));
}

/// httpd keeps sessions in a cache of its own, here its shared memory.
#[test]
fn httpd_is_left_alone() {
    if !is_there("openssl") || !is_there("apache2") {
        return;
    }
    let (site, port) = (Site::new(), free_port());
    let modules = ["mpm_event", "authz_core", "socache_shmcb", "ssl"]
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"));
    let folder = site.path().display();
    let configuration = format!(
        "ServerRoot {folder}\nServerName localhost\nPidFile {folder}/pid\nErrorLog {folder}/log\n\
         {}Listen 127.0.0.1:{port}\nSSLSessionCache shmcb:{folder}/cache(512000)\n\
         SSLSessionTickets off\nSSLEngine on\nSSLCertificateFile {folder}/cert.pem\n\
         SSLCertificateKeyFile {folder}/key.pem\nGroup #0\n",
        modules.concat()
    );
    let file = site.write("httpd.conf", configuration.as_bytes());
    let mut command = Command::new("apache2");
    command.args(["-X", "-f", &file]).stderr(Stdio::null());
    let Some(server) = Server::start(site.preload(&mut command, "1"), port) else {
        return println!("skipped: httpd does not start here");
    };
    let (attached, left) = judge(&site, server, "-TERM");
    assert!(attached == 0 && left > 0, "{left}");
}

/// HAProxy keeps sessions in memory of its own, and leaves without the end that prints statistics.
#[test]
fn haproxy_is_left_alone() {
    if !is_there("openssl") || !is_there("haproxy") {
        return;
    }
    let (site, port) = (Site::new(), free_port());
    let pem = site.file("both.pem");
    let configuration = format!(
        "defaults\n  mode http\n  timeout connect 9s\n  timeout client 9s\n  timeout server 9s\n\
         frontend x\n  bind 127.0.0.1:{port} ssl crt {pem} no-tls-tickets\n\
         \x20 http-request return status 200 content-type text/plain string hello\n"
    );
    let file = site.write("haproxy.cfg", configuration.as_bytes());
    let mut command = Command::new("haproxy");
    command.args(["-f", &file]).stderr(Stdio::null());
    let server = Server::start(site.preload(&mut command, "1"), port).unwrap();
    for version in VERSIONS {
        site.resumes(server.port, version);
    }
}
