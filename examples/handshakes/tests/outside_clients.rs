//! Clients that are not ours resume: OpenSSL, Python and curl, where they are installed.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

/// The server under test; stopped when dropped.
struct Server {
    process: Child,
    output: BufReader<ChildStdout>,
    address: String,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_handshakes"))
            .args(["--serve", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let address = line.strip_prefix("listening on ").and_then(|rest| rest.split(',').next());
        let address = address.unwrap_or_else(|| panic!("{line}")).to_owned();
        Self { process, output, address }
    }

    /// Interrupts the server as Ctrl-C would; answers the statistics it printed.
    fn stop(mut self) -> String {
        let interrupt = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
        assert!(interrupt.unwrap().success());
        let mut statistics = String::new();
        self.output.read_to_string(&mut statistics).unwrap();
        assert!(self.process.wait().unwrap().success());
        statistics
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs a client with `input`; its output, or `None` with a message where it is not installed.
fn client(program: &str, arguments: &[&str], input: &str) -> Option<String> {
    let spawned = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut process) = spawned else {
        eprintln!("skipped: {program} is not installed");
        return None;
    };
    // A client that is done before it read everything is as good.
    let _ = process.stdin.take().unwrap().write_all(input.as_bytes());
    let output = process.wait_with_output().unwrap();
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn scratch(name: &str) -> String {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name).to_str().unwrap().to_owned()
}

fn counted(text: &str, line: &str) -> usize {
    text.lines().filter(|candidate| candidate.starts_with(line)).count()
}

const REQUEST: &str = "GET / HTTP/1.0\r\n\r\n";

#[test]
fn openssl_reconnects_with_one_tls12_session() {
    let server = Server::start(&["--tls", "1.2"]);
    let arguments = ["s_client", "-connect", &server.address, "-tls1_2", "-reconnect"];
    let Some(output) = client("openssl", &arguments, "") else { return };
    assert_eq!((counted(&output, "New, TLSv1.2"), counted(&output, "Reused, TLSv1.2")), (1, 5), "{output}");
    let statistics = server.stop();
    assert!(statistics.contains(" puts 1,") && statistics.contains(" hits 5,"), "{statistics}");
}

#[test]
fn openssl_resumes_a_saved_tls13_session_once() {
    let server = Server::start(&[]);
    let saved = scratch("tls13.pem");
    let connect = ["s_client", "-connect", &server.address, "-tls1_3", "-ign_eof"];
    let saving = [&connect[..], &["-sess_out", &saved]].concat();
    let Some(output) = client("openssl", &saving, REQUEST) else { return };
    assert_eq!(counted(&output, "New, TLSv1.3"), 1, "{output}");

    let resuming = [&connect[..], &["-sess_in", &saved]].concat();
    let output = client("openssl", &resuming, REQUEST).unwrap();
    assert_eq!(counted(&output, "Reused, TLSv1.3"), 1, "{output}");
    assert!(output.contains("session: resumed"), "{output}");
    let output = client("openssl", &resuming, REQUEST).unwrap();
    assert_eq!(counted(&output, "New, TLSv1.3"), 1, "a second use of the session: {output}");
    let statistics = server.stop();
    assert!(statistics.contains(" taken 1,"), "{statistics}");
}

#[test]
fn python_resumes_in_both_versions() {
    const SCRIPT: &str = r#"
import socket, ssl, sys
host, port = sys.argv[1].split(":")
for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    session = None
    for _ in range(4):
        with socket.create_connection((host, int(port))) as tcp:
            with context.wrap_socket(tcp, server_hostname="localhost", session=session) as tls:
                tls.sendall(b"GET / HTTP/1.0\r\n\r\n")
                while tls.recv(4096):
                    pass
                session = tls.session
                print(tls.version(), tls.session_reused)
"#;
    let server = Server::start(&[]);
    let Some(output) = client("python3", &["-c", SCRIPT, &server.address], "") else { return };
    let version = |name: &str| format!("{name} False\n{}", format!("{name} True\n").repeat(3));
    assert_eq!(output, version("TLSv1.2") + &version("TLSv1.3"));
    server.stop();
}

#[test]
fn curl_resumes_its_second_request() {
    for version in ["1.2", "1.3"] {
        let server = Server::start(&["--tls", version]);
        let url = format!("https://{}/", server.address);
        let Some(output) = client("curl", &["--silent", "--insecure", &url, &url], "") else { return };
        let sessions: Vec<_> = output.lines().filter_map(|line| line.strip_prefix("session: ")).collect();
        assert_eq!(sessions, ["new", "resumed"], "TLS {version}: {output}");
        server.stop();
    }
}

#[test]
fn every_store_serves() {
    for store in ["sessile", "rustls", "moka", "moka-lru"] {
        let server = Server::start(&["--store", store, "--capacity", "100"]);
        let url = format!("https://{}/", server.address);
        let Some(output) = client("curl", &["--silent", "--insecure", &url, &url], "") else { return };
        assert!(output.contains("session: resumed"), "{store}: {output}");
        let statistics = server.stop();
        assert!(statistics.starts_with(&format!("{store}: capacity 100, ")), "{statistics}");
    }
}
