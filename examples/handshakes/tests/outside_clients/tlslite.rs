//! tlslite-ng, a TLS library in Python that has nothing in common with the others, and can offer
//! any id.
//!
//! `pip install tlslite-ng` provides it.

use crate::python::{assert_plays, outcome};
use crate::support::{CASES, client};

const SCRIPT: &str = r#"
import copy, socket, sys
from tlslite.api import HandshakeSettings, TLSConnection

def visit(version, address, path, session=None):
    settings = HandshakeSettings()
    settings.minVersion = settings.maxVersion = version
    host, port = address.split(":")
    tls = TLSConnection(socket.create_connection((host, int(port))))
    tls.handshakeClientCert(session=session, settings=settings, serverName="localhost")
    tls.sendall(("GET %s HTTP/1.0\r\n\r\n" % path).encode())
    answer = b""
    while got := tls.recv(4096):
        answer += got
    tls.close()
    assert tls.resumed == (b"session: resumed" in answer)
    return tls.session, tls.resumed

def garbage(session):
    session = copy.copy(session)
    if session.tickets:
        ticket = copy.copy(session.tickets[0])
        ticket.ticket = bytearray(b"Z" * 32)
        session.tickets = [ticket]
    else:
        session.sessionID = bytearray(b"Z" * 32)
    return session

server, other, *cases = sys.argv[1:]
for name, version in (("TLSv1_2", (3, 3)), ("TLSv1_3", (3, 4))):
    for case in cases:
        path, place = case.split("@")
        session, resumed = visit(version, server, path)
        assert not resumed
        _, resumed = visit(version, other if place == "other" else server, "/", session)
        print(name, case, resumed)
    session, _ = visit(version, server, "/")
    _, resumed = visit(version, server, "/", garbage(session))
    print(name, "garbage", resumed)
"#;

#[test]
fn tlslite_resumes_what_is_there_and_nothing_else() {
    let installed = client("python3", &["-c", "import tlslite; print('yes')"], "");
    if installed.is_none_or(|answer| answer != "yes\n") {
        eprintln!("skipped: tlslite-ng is not installed; pip install tlslite-ng");
        return;
    }
    let expected = ["TLSv1_2", "TLSv1_3"].map(|version| {
        let cases: String = CASES.iter().map(|case| outcome(version, case)).collect();
        format!("{cases}{version} garbage False\n")
    });
    assert_plays(SCRIPT, &expected.concat());
}
