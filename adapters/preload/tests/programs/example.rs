//! The server of `adapters/c/examples`: one binary, with a store of its own, with the library
//! preloaded, and with both.

use std::path::Path;
use std::process::Command;

use testkit::free_port;

use crate::process::{Server, Site, VERSIONS, is_there, library};

#[test]
fn one_server_with_and_without_the_library() {
    if !is_there("openssl") || !is_there("cc") {
        return;
    }
    let (site, source) = (Site::new(), Path::new(env!("CARGO_MANIFEST_DIR")));
    let program = site.file("server");
    let mut cc = Command::new("cc");
    cc.args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-I"]);
    cc.arg(source.join("../c/include")).arg(source.join("../c/examples/server.c"));
    // The interface is in this library too.
    cc.args(["-o", &program]).arg(library()).args(["-lssl", "-lcrypto"]);
    let made = cc.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    // It is asked for by the name of its version.
    std::os::unix::fs::symlink(library(), site.file("libsessile_preload.so.0")).unwrap();
    for (is_preloaded, sessions, label, size) in [
        (false, None, "libssl's functions", "20480"),
        (true, None, "libssl's functions", "20480"),
        (false, Some("500"), "store of its own", "500"),
        (true, Some("600"), "store of its own", "600"),
    ] {
        // libssl stores a session after the client has the last message: one that comes back to
        // another thread before is not resumed, which a busy machine shows now and then.
        let stored = if is_preloaded || sessions.is_some() { 4 } else { 5 };
        let expected =
            format!("{label}: accepted 10, completed 10, resumed 7, stored {stored} of {size}\n");
        let (wanted, mut seen) = (Ok(expected), Vec::new());
        while seen.len() < 5 && seen.last() != Some(&wanted) {
            seen.push(run(&site, &program, is_preloaded, sessions));
        }
        assert_eq!(seen.last(), Some(&wanted), "{seen:?}");
        println!("preloaded {is_preloaded}: {}", wanted.unwrap().trim());
    }
}

/// Ten connections, seven of which resume; what the server says of them, or the client's words if
/// one that comes back was not resumed.
fn run(
    site: &Site,
    program: &str,
    is_preloaded: bool,
    sessions: Option<&str>,
) -> Result<String, String> {
    let port = free_port();
    let mut command = Command::new(program);
    command.args(["cert.pem", "key.pem", &port.to_string(), "4"]).args(sessions);
    command.current_dir(site.path()).env("LD_LIBRARY_PATH", site.path());
    if is_preloaded {
        site.preload(&mut command, "1");
    }
    let server = Server::start(&mut command, port).unwrap();
    for version in VERSIONS {
        site.try_to_resume(port, version)?;
    }
    site.visit(port, &["-tls1_2", "-reconnect"]);
    Ok(server.end(None))
}
