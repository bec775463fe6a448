//! Processes with a second libssl, which a library brings that is loaded with `RTLD_LOCAL`.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::compiler::{can_compile, compile, compile_as, is_same, printed};
use crate::process::{Site, library};

/// The hash by which the dynamic linker compares names of versions.
fn elf_hash(name: &[u8]) -> u32 {
    name.iter().fold(0, |hash: u32, byte| {
        let shifted = (hash << 4).wrapping_add(u32::from(*byte));
        let high = shifted & 0xf000_0000;
        (shifted ^ (high >> 24)) & !high
    })
}

fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) -> usize {
    assert_eq!(old.len(), new.len());
    let places: Vec<_> =
        (0..bytes.len() - old.len()).filter(|at| bytes[*at..].starts_with(old)).collect();
    places.iter().for_each(|at| bytes[*at..*at + new.len()].copy_from_slice(new));
    places.len()
}

/// The versions that a library defines or asks for, such as `OPENSSL_3.0.0`.
fn versions(bytes: &[u8]) -> BTreeSet<Vec<u8>> {
    let words = bytes.split(|byte| *byte == 0);
    let is_version = |word: &&[u8]| {
        word.strip_prefix(b"OPENSSL_3.")
            .is_some_and(|rest| rest.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.'))
    };
    words.filter(is_version).map(<[u8]>::to_vec).collect()
}

/// Puts a copy of a library of the system beside the site's files, under another name, that says
/// it is of other versions.
fn copy_as_other(site: &Site, file: &str, has_other_versions: bool) {
    let found = Command::new("cc").arg(format!("-print-file-name={file}")).output().unwrap();
    let path = String::from_utf8(found.stdout).unwrap();
    let mut bytes = fs::read(path.trim()).unwrap();
    replace(&mut bytes, b"libssl.so.3", b"libxsl.so.3");
    if has_other_versions {
        replace(&mut bytes, b"libcrypto.so.3", b"libxrypto.so.3");
        for old in versions(&bytes) {
            let mut new = old.clone();
            new[b"OPENSSL_".len()] = b'9';
            let [old_hash, new_hash] = [&old, &new].map(|name| elf_hash(name).to_le_bytes());
            assert!(replace(&mut bytes, &old, &new) > 0);
            assert!((1..4).contains(&replace(&mut bytes, &old_hash, &new_hash)));
        }
    }
    let name = file.replace("libssl", "libxsl").replace("libcrypto", "libxrypto");
    site.write(&name, &bytes);
}

/// The program that tells what it sees of a cache, as a library with a certain libssl.
fn as_library(site: &Site, name: &str, libraries: [&str; 2]) -> String {
    let arguments = ["-shared", "-fPIC", "-Dmain=run", "-L.", libraries[0], libraries[1]];
    compile_as(site, "tests/c/callbacks.c", &site.file(name), &arguments)
}

/// A library with the libssl of this system, one with another libssl, and a program that runs them
/// in one process: it prints with the preloaded library what it prints without.
fn plays_the_same(site: &Site, other: &str, attached: u64) {
    let ours = as_library(site, "libours.so", ["-lssl", "-lcrypto"]);
    for (name, linked) in [("loader", &[][..]), ("linked", &["-Wl,--no-as-needed", "-lssl"])] {
        let loader = compile_as(site, "tests/c/loader.c", &site.file(name), linked);
        for flags in [&[][..], &["deep"]] {
            let command = || {
                let mut command = Command::new(&loader);
                command.args(flags).args([&ours, other]).env("LD_LIBRARY_PATH", site.path());
                command
            };
            let plain = printed(&mut command());
            assert!(plain.lines().count() > 80, "{plain}");
            for attach in ["0", "1"] {
                let preloaded = printed(site.preload(&mut command(), attach));
                is_same(&preloaded, &plain, &format!("{name} {flags:?} {attach}"));
            }
            // What is loaded with RTLD_DEEPBIND is bound to its own libssl, and not to the library.
            let expected = flags.is_empty().then_some(attached);
            let seen = site.all_statistics().pop();
            assert_eq!(seen.map(|seen| seen["contexts_attached"]), expected, "{name} {flags:?}");
            site.write("statistics", b"");
        }
    }
}

#[test]
fn a_libssl_of_other_versions_is_left_alone() {
    if !can_compile() {
        return;
    }
    let site = Site::new();
    copy_as_other(&site, "libssl.so.3", true);
    copy_as_other(&site, "libcrypto.so.3", true);
    let other = as_library(&site, "libother.so", ["-l:libxsl.so.3", "-l:libxrypto.so.3"]);
    plays_the_same(&site, &other, 40);
}

/// A program that is linked with another libssl than the library keeps to its own.
#[test]
fn a_program_of_other_versions_is_left_alone() {
    if !can_compile() {
        return;
    }
    let site = Site::new();
    copy_as_other(&site, "libssl.so.3", true);
    copy_as_other(&site, "libcrypto.so.3", true);
    let arguments = ["-L.", "-l:libxsl.so.3", "-l:libxrypto.so.3"];
    for name in ["callbacks", "early", "info"] {
        let file = format!("tests/c/{name}.c");
        let program = compile_as(&site, &file, &site.file(name), &arguments);
        let command = || {
            let mut command = Command::new(&program);
            command.env("LD_LIBRARY_PATH", site.path());
            command
        };
        let plain = printed(&mut command());
        is_same(&printed(site.preload(&mut command(), "1")), &plain, name);
        assert!(site.all_statistics().is_empty(), "nothing is attached");
    }
}

/// The dynamic linker binds both libraries to the one libssl that all see.
#[test]
fn a_second_copy_of_one_libssl_is_not_used() {
    if !can_compile() {
        return;
    }
    let site = Site::new();
    copy_as_other(&site, "libssl.so.3", false);
    let other = as_library(&site, "libother.so", ["-l:libxsl.so.3", "-lcrypto"]);
    plays_the_same(&site, &other, 80);
}

/// Another library that is preloaded is called too, whichever comes first.
#[test]
fn another_preloaded_library_is_called_too() {
    if !can_compile() {
        return;
    }
    let site = Site::new();
    let other = site.file("libinterposer.so");
    compile_as(&site, "tests/c/interposer.c", &other, &["-shared", "-fPIC"]);
    let program = compile(&site, "tests/c/callbacks.c", &[]);
    let plain = printed(Command::new(&program).env("LD_PRELOAD", &other));
    assert!(plain.contains("\ncalls "), "{plain}");
    let ours = library().display().to_string();
    for order in [[&ours, &other], [&other, &ours]] {
        let mut command = Command::new(&program);
        let [first, second] = order;
        site.preload(&mut command, "1").env("LD_PRELOAD", format!("{first}:{second}"));
        is_same(&printed(&mut command), &plain, first);
        assert_eq!(site.statistics()["contexts_attached"], 20);
    }
}
