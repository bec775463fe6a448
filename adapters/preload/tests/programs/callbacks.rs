//! A program with callbacks of its own: it prints the same with and without the library.

use std::path::Path;
use std::process::Command;

use crate::process::{Site, is_there, talk};

#[test]
fn a_program_sees_the_same_cache() {
    if !is_there("openssl") || !is_there("cc") {
        return;
    }
    let (site, source) = (Site::new(), Path::new(env!("CARGO_MANIFEST_DIR")));
    let program = site.file("callbacks");
    let mut cc = Command::new("cc");
    cc.args([
        "-std=gnu11",
        "-O1",
        "-g",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-deprecated-declarations",
    ]);
    cc.arg("-I").arg(source.join("../c/tests/c")).arg(source.join("tests/c/callbacks.c"));
    let made = cc.args(["-o", &program, "-lssl", "-lcrypto"]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let run = |attach: Option<&str>| {
        let mut command = Command::new(&program);
        if let Some(attach) = attach {
            site.preload(&mut command, attach);
        }
        let output = talk(&mut command, b"");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{attach:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    };
    let plain = run(None);
    assert!(plain.lines().count() > 20, "{plain}");
    // Not asked to attach, the library passes everything on.
    assert_eq!(run(Some("0")), plain);
    for attach in ["1", "stateful"] {
        let preloaded = run(Some(attach));
        assert_eq!(preloaded, plain, "{attach}");
        let seen = site.statistics();
        assert_eq!((seen["contexts_attached"], seen["contexts_left"]), (2, 3), "{seen:?}");
    }
}
