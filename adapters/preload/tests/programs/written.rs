//! Programs in C, written for these tests and for those of sessile-capi.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Site, is_there, library, talk};

fn source(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// Compiles a program that asks for nothing but libssl, or also for what `more` names.
fn compile(site: &Site, file: &str, more: &[&Path]) -> String {
    let file = source(file);
    let program = site.file(file.file_stem().unwrap().to_str().unwrap());
    let mut cc = Command::new("cc");
    cc.args(["-std=gnu11", "-O1", "-g", "-pthread", "-Wno-deprecated-declarations"]);
    cc.arg(format!("-DEXPECTED_VERSION=\"{}\"", env!("CARGO_PKG_VERSION")));
    for folder in ["../c/include", "../c/tests/c"] {
        cc.arg("-I").arg(source(folder));
    }
    let made = cc.arg(file).args(more).args(["-o", &program, "-lssl", "-lcrypto"]).output();
    let made = made.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    program
}

/// What a command that must succeed printed.
fn printed(command: &mut Command) -> String {
    let output = talk(command, b"");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn can_compile() -> bool {
    is_there("openssl") && is_there("cc")
}

/// The programs that sessile-capi is tested by, with the interface that is in this library.
#[test]
fn the_interface_is_in_the_library_too() {
    if !can_compile() {
        return;
    }
    let site = Site::new();
    symlink(library(), site.file("libsessile_preload.so.0")).unwrap();
    for file in ["../c/tests/c/functions.c", "../c/tests/c/threads.c"] {
        let program = compile(&site, file, &[&library()]);
        for attach in ["0", "1"] {
            let mut command = Command::new(&program);
            command.env("LD_LIBRARY_PATH", site.path());
            printed(site.preload(&mut command, attach));
        }
    }
}

/// A program with callbacks of its own prints the same with the library and without.
#[test]
fn a_program_sees_the_same_cache() {
    if !can_compile() {
        return;
    }
    let site = Site::new();
    let program = compile(&site, "tests/c/callbacks.c", &[]);
    let plain = printed(&mut Command::new(&program));
    assert!(plain.lines().count() > 20, "{plain}");
    // Not asked to attach, the library passes everything on.
    assert_eq!(printed(site.preload(&mut Command::new(&program), "0")), plain);
    for attach in ["1", "stateful"] {
        let preloaded = printed(site.preload(&mut Command::new(&program), attach));
        assert_eq!(preloaded, plain, "{attach}");
        let seen = site.statistics();
        assert_eq!((seen["contexts_attached"], seen["contexts_left"]), (4, 4), "{seen:?}");
    }
}

#[test]
fn no_client_is_resumed_whom_libssl_would_verify() {
    if !can_compile() {
        return;
    }
    let site = Site::new();
    let program = compile(&site, "tests/c/authentication.c", &[]);
    printed(&mut Command::new(&program));
    printed(site.preload(&mut Command::new(&program), "1"));
    assert_eq!(site.statistics()["contexts_attached"], 6);
}

/// `cargo xtask load` measures what this program does; here it must only succeed.
#[test]
fn eight_threads_resume_without_a_failure() {
    if !can_compile() {
        return;
    }
    let site = Site::new();
    let program = compile(&site, "tests/c/load.c", &[]);
    for version in ["1.2", "1.3"] {
        let mut command = Command::new(&program);
        let said = printed(site.preload(command.args(["8", "200", "2000", version, "500"]), "1"));
        println!("{version}: {}", said.trim());
        let words: Vec<_> = said.split_whitespace().collect();
        let of = |name| words[words.iter().position(|word| *word == name).unwrap() + 1];
        assert_eq!((of("failed"), of("refused"), of("resumed")), ("0", "0", of("handshakes")));
        let seen = site.statistics();
        assert_eq!(seen["resumed"].to_string(), of("resumed"), "{seen:?}");
        let added = seen["added"] + seen.get("replaced").copied().unwrap_or(0);
        assert!(added >= 2_000 + seen["removed"], "{seen:?}");
    }
}
