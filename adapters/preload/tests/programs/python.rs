//! Python's `ssl`: its server's `session_stats()` must add up, as they do with libssl's own cache.

use std::process::Command;

use crate::process::{Site, is_there, talk};

/// A server and twenty clients in one process; the statistics of both, and how many resumed.
const SCRIPT: &str = r#"
import json, socket, ssl, sys, threading

version = getattr(ssl.TLSVersion, sys.argv[1])
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain("cert.pem", "key.pem")
server.options |= ssl.OP_NO_TICKET
server.minimum_version = server.maximum_version = version
listener = socket.create_server(("127.0.0.1", 0))

def serve():
    for _ in range(20):
        connection, _ = listener.accept()
        with server.wrap_socket(connection, server_side=True) as tls:
            tls.recv(10)
            tls.sendall(b"answer")
            tls.unwrap()

client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client.check_hostname = False
client.verify_mode = ssl.CERT_NONE
client.minimum_version = client.maximum_version = version
thread = threading.Thread(target=serve)
thread.start()
session, resumed = None, 0
for _ in range(20):
    with socket.create_connection(listener.getsockname()) as tcp:
        with client.wrap_socket(tcp, session=session) as tls:
            tls.sendall(b"ask")
            assert tls.recv(10) == b"answer"
            session, reused = tls.session, tls.session_reused
            resumed += reused
            tls.unwrap()
thread.join()
stats = {"server": server.session_stats(), "client": client.session_stats()}
print(json.dumps({"resumed": resumed, **stats}, sort_keys=True))
"#;

#[test]
fn session_stats_add_up() {
    const PYTHON: &str = "/usr/bin/python3";
    if !is_there("openssl") || !is_there(PYTHON) {
        return;
    }
    for version in ["TLSv1_2", "TLSv1_3"] {
        let site = Site::new();
        let run = |is_preloaded: bool| {
            let mut python = Command::new(PYTHON);
            python.args(["-", version]).current_dir(site.path());
            if is_preloaded {
                site.preload(&mut python, "1");
            }
            let output = talk(&mut python, SCRIPT.as_bytes());
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{version}: {errors}");
            String::from_utf8(output.stdout).unwrap()
        };
        let (preloaded, plain) = (run(true), run(false));
        println!("{version}: {}", preloaded.trim());
        let seen = site.statistics();
        let count = |name: &str| seen.get(name).copied().unwrap_or(0);
        assert_eq!((count("accept_good"), count("resumed")), (20, 19), "{seen:?}");
        // libssl leaves a ticket that was used where it is; here it is taken.
        let taken = if version == "TLSv1_3" { 19 } else { 0 };
        assert_eq!(number_of(&preloaded) + taken, number_of(&plain), "{preloaded}{plain}");
        let rest =
            |printed: &str| printed.replace(&format!("\"number\": {}", number_of(printed)), "");
        assert_eq!(rest(&preloaded), rest(&plain));
    }
}

/// The server's `number`.
fn number_of(printed: &str) -> u64 {
    let (_, server) = printed.split_once("\"server\"").unwrap();
    let (_, number) = server.split_once("\"number\": ").unwrap();
    number.split([',', '}']).next().unwrap().trim().parse().unwrap()
}
