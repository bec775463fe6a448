//! A program with callbacks of its own: it prints the same with and without the library.

use std::path::Path;
use std::process::Command;

use crate::process::{Site, is_there, library, talk};

/// The programs that sessile-capi is tested by, with the interface that is in this library.
#[test]
fn the_interface_is_in_the_library_too() {
    if !is_there("openssl") || !is_there("cc") {
        return;
    }
    let (site, source) = (Site::new(), Path::new(env!("CARGO_MANIFEST_DIR")));
    std::os::unix::fs::symlink(library(), site.file("libsessile_preload.so.0")).unwrap();
    for name in ["functions", "threads"] {
        let program = site.file(name);
        let mut cc = Command::new("cc");
        cc.args(["-std=gnu11", "-O1", "-g", "-Wno-deprecated-declarations", "-pthread"]);
        cc.arg(format!("-DEXPECTED_VERSION=\"{}\"", env!("CARGO_PKG_VERSION"))).arg("-I");
        cc.arg(source.join("../c/include"))
            .arg(source.join("../c/tests/c").join(name).with_extension("c"));
        let made = cc.args(["-o", &program]).arg(library()).args(["-lssl", "-lcrypto"]).output();
        let made = made.unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        for attach in ["0", "1"] {
            let mut command = Command::new(&program);
            command.env("LD_LIBRARY_PATH", site.path());
            let output = talk(site.preload(&mut command, attach), b"");
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{name}, SESSILE_ATTACH={attach}: {errors}");
        }
    }
}

/// A program of this crate's, compiled; `None` where that cannot be done.
fn compiled(site: &Site, name: &str) -> Option<String> {
    if !is_there("openssl") || !is_there("cc") {
        return None;
    }
    let (source, program) = (Path::new(env!("CARGO_MANIFEST_DIR")), site.file(name));
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
    cc.arg("-I").arg(source.join("../c/tests/c"));
    cc.arg(source.join("tests/c").join(name).with_extension("c"));
    let made = cc.arg("-o").arg(&program).args(["-lssl", "-lcrypto"]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some(program)
}

/// What a program prints, which succeeds.
fn printed(site: &Site, program: &str, attach: Option<&str>) -> String {
    let mut command = Command::new(program);
    if let Some(attach) = attach {
        site.preload(&mut command, attach);
    }
    let output = talk(&mut command, b"");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{attach:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_program_sees_the_same_cache() {
    let site = Site::new();
    let Some(program) = compiled(&site, "callbacks") else { return };
    let run = |attach| printed(&site, &program, attach);
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

#[test]
fn no_client_is_resumed_whom_libssl_would_verify() {
    let site = Site::new();
    let Some(program) = compiled(&site, "authentication") else { return };
    for attach in [None, Some("1")] {
        printed(&site, &program, attach);
    }
    assert_eq!(site.statistics()["contexts_attached"], 6);
}
