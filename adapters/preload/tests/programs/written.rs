//! Programs in C, written for these tests and for those of sessile-capi.

use std::collections::HashMap;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::compiler::{can_compile, compile, is_same, printed};
use crate::process::{Site, library};

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
    for attach in ["0", "1", "stateful"] {
        is_same(&printed(site.preload(&mut Command::new(&program), attach)), &plain, attach);
        if attach != "0" {
            let seen = site.statistics();
            assert_eq!((seen["contexts_attached"], seen["contexts_left"]), (20, 14), "{seen:?}");
        }
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

/// Random calls, which libssl's own cache is the oracle of.
#[test]
fn random_calls_answer_the_same() {
    if !can_compile() {
        return;
    }
    let site = Site::new();
    let program = compile(&site, "tests/c/random.c", &[]);
    // With one use of a ticket, numbers would differ in TLS 1.3.
    for (version, reusable) in [("1.2", "0"), ("1.3", "1")] {
        let arguments = ["1000", "150", version];
        let plain = printed(Command::new(&program).args(arguments));
        assert!(plain.matches("resumed 1").count() > 500, "{version}");
        let mut command = Command::new(&program);
        command.args(arguments).env("SESSILE_REUSABLE", reusable);
        is_same(&printed(site.preload(&mut command, "1")), &plain, version);
    }
}

/// Wherever the program's info callback is set, it is told the same, and the store counts on.
#[test]
fn a_program_hears_of_handshakes() {
    if !can_compile() {
        return;
    }
    let site = Site::new();
    let program = compile(&site, "tests/c/info.c", &[]);
    let plain = printed(&mut Command::new(&program));
    for attach in ["0", "1"] {
        is_same(&printed(site.preload(&mut Command::new(&program), attach)), &plain, attach);
    }
    let seen = site.statistics();
    assert_eq!((seen["accept"], seen["accept_good"], seen["resumed"]), (15, 15, 10), "{seen:?}");
}

/// Early data are read only where the program's own callback allows it, wherever it is set.
#[test]
fn a_program_decides_on_early_data() {
    if !can_compile() {
        return;
    }
    let site = Site::new();
    let program = compile(&site, "tests/c/early.c", &[]);
    let plain = printed(&mut Command::new(&program));
    assert!(plain.contains("before, 0: accepted 0, asked 1\n"), "{plain}");
    for attach in ["0", "1"] {
        is_same(&printed(site.preload(&mut Command::new(&program), attach)), &plain, attach);
    }
}

/// Each process reports what it has counted itself, also one that is forked off.
#[test]
fn forked_children_report_their_own_counts() {
    if !can_compile() {
        return;
    }
    let site = Site::new();
    let program = compile(&site, "tests/c/forks.c", &[]);
    printed(site.preload(&mut Command::new(&program), "1"));
    let seen = site.all_statistics();
    let of = |process: &HashMap<String, u64>| {
        ["contexts_attached", "accept_good", "resumed", "added", "sessions", "capacity"]
            .map(|name| process.get(name).copied().unwrap_or(0))
    };
    // The grandchild ends first, the first process last. What each has now is its own.
    let expected = [[0, 1, 1, 0, 2, 100], [1, 3, 1, 2, 3, 177], [0, 0, 0, 0, 1, 100]];
    assert_eq!(seen[..3].iter().map(of).collect::<Vec<_>>(), expected, "{seen:?}");
    assert_eq!(of(&seen[3]), [1, 3, 2, 1, 1, 100], "{seen:?}");
}

/// A store begins small, and grows to its size before it evicts anything.
#[test]
fn a_store_grows_with_its_sessions() {
    if !can_compile() {
        return;
    }
    let site = Site::new();
    let program = compile(&site, "tests/c/sizes.c", &[]);
    let plain = printed(&mut Command::new(&program));
    is_same(&printed(site.preload(&mut Command::new(&program), "1")), &plain, "sizes");
    let bytes = printed(site.preload(Command::new(&program).arg("50"), "1"));
    println!("bytes of a context that has seen one connection: {bytes}");
    assert!(bytes.trim().parse::<u64>().unwrap() < 40_000, "{bytes}");
    assert_eq!(site.statistics()["capacity"], 50 * 20_480);
}
