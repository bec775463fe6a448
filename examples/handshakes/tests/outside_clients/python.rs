//! Python's `ssl` module, which can keep a session and offer it, and cannot make one up.

use crate::support::{BACKENDS, CASES, Server, client};

const SCRIPT: &str = r#"
import socket, ssl, sys

def visit(context, address, path, session=None):
    host, port = address.split(":")
    with socket.create_connection((host, int(port))) as tcp:
        with context.wrap_socket(tcp, server_hostname="localhost", session=session) as tls:
            tls.sendall(("GET %s HTTP/1.0\r\n\r\n" % path).encode())
            answer = b""
            while got := tls.recv(4096):
                answer += got
            assert tls.session_reused == (b"session: resumed" in answer)
            return tls.session, tls.session_reused

server, other, *cases = sys.argv[1:]
for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    session = None
    for _ in range(4):
        session, resumed = visit(context, server, "/", session)
        print(version.name, resumed)
    for case in cases:
        path, place = case.split("@")
        session, resumed = visit(context, server, path)
        assert not resumed
        _, resumed = visit(context, other if place == "other" else server, "/", session)
        print(version.name, case, resumed)
"#;

/// How a case is told to a script.
fn spelled((path, elsewhere, _): &(&str, bool, bool)) -> String {
    format!("{path}@{}", if *elsewhere { "other" } else { "server" })
}

/// What a script prints of a case.
pub(crate) fn outcome(version: &str, case: &(&str, bool, bool)) -> String {
    format!("{version} {} {}\n", spelled(case), if case.2 { "True" } else { "False" })
}

/// Plays all cases to a server of each backend by a Python script, which must print `expected`.
/// Python not being there skips.
pub(crate) fn assert_plays(script: &str, expected: &str) {
    for backend in BACKENDS {
        let server = Server::start(&["--backend", backend]);
        let cases: Vec<String> = CASES.iter().map(spelled).collect();
        let mut arguments = vec!["-c", script, &server.address, &server.other];
        arguments.extend(cases.iter().map(String::as_str));
        let Some(output) = client("python3", &arguments, "") else { return };
        assert_eq!(output, expected, "{backend}");
        server.stop();
    }
}

#[test]
fn python_resumes_what_is_there_and_nothing_else() {
    let expected = ["TLSv1_2", "TLSv1_3"].map(|version| {
        let again = format!("{version} False\n{}", format!("{version} True\n").repeat(3));
        again + &CASES.iter().map(|case| outcome(version, case)).collect::<String>()
    });
    assert_plays(SCRIPT, &expected.concat());
}
