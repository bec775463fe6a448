//! The ground plan of DESIGN.md, checked: which file may name what, and who may import whom.

use std::fs;
use std::path::{Path, PathBuf};

fn sources() -> Vec<(PathBuf, String)> {
    fn collect(dir: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                into.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    let read = |path: PathBuf| {
        (path.strip_prefix(&root).unwrap().to_owned(), fs::read_to_string(&path).unwrap())
    };
    paths.into_iter().map(read).collect()
}

/// Lines that are code, without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or(""))
        .filter(|line| !line.trim().is_empty())
}

#[test]
fn each_foreign_name_has_one_home() {
    let homes = [
        ("std::sync::atomic", "sync"),
        ("std::cell::UnsafeCell", "sync"),
        ("std::sync::Mutex", "reclaim/grace/contract.rs"),
        ("arc_swap", "sync"),
        ("loom::", "sync"),
        ("shuttle::", "sync"),
        ("crossbeam_epoch", "reclaim/grace.rs"),
        ("ahash", "hash.rs"),
        ("sha2", "session/context.rs"),
        ("zeroize", "session/secret.rs"),
        ("libc::", "wall.rs"),
        ("rustix::mm", "memory.rs"),
    ];
    for (path, text) in sources() {
        for (name, home) in homes {
            let is_model = path.starts_with("reclaim/grace/contract.rs");
            if path.starts_with(home) || is_model {
                continue;
            }
            let offender = code(&text).find(|line| line.contains(name));
            assert_eq!(offender, None, "{} names {name}, which belongs to {home}", path.display());
        }
    }
}

#[test]
fn towers_do_not_import_the_roof() {
    let forbidden: &[(&str, &[&str])] = &[
        (
            "sync",
            &["reclaim", "raw", "session", "cache", "stats", "settings", "hash", "clock", "error"],
        ),
        ("reclaim", &["raw", "session", "cache", "stats", "settings", "hash", "clock", "error"]),
        ("raw", &["reclaim", "session", "cache", "stats", "settings", "hash", "clock", "error"]),
        ("session", &["reclaim", "raw", "cache", "stats", "settings", "clock"]),
        ("clock.rs", &["reclaim", "raw", "cache", "session", "settings"]),
        ("policy.rs", &["reclaim", "raw", "cache", "session", "settings", "sync"]),
        ("tickets.rs", &["reclaim", "raw", "cache", "session", "settings"]),
        ("budget.rs", &["reclaim", "raw", "cache", "session", "settings"]),
    ];
    for (path, text) in sources() {
        for (room, others) in forbidden.iter().filter(|(room, _)| path.starts_with(room)) {
            for other in *others {
                let import = format!("crate::{other}");
                let offender = code(&text).find(|line| line.contains(&import));
                assert_eq!(offender, None, "{} is in {room} and imports {other}", path.display());
            }
        }
    }
}

#[test]
fn unsafe_code_stays_in_its_rooms() {
    let rooms = [
        "memory.rs",
        "wall.rs",
        "sync",
        "reclaim",
        "raw",
        "session/handle.rs",
        "tickets.rs",
        "cache",
        "internals",
    ];
    for (path, text) in sources() {
        if rooms.iter().any(|room| path.starts_with(room)) {
            continue;
        }
        let is_crate_root = path.starts_with("lib.rs") || path.ends_with("mod.rs");
        let forbids = text.contains("#![forbid(unsafe_code)]");
        assert!(forbids || is_crate_root, "{} does not forbid unsafe code", path.display());
    }
}

#[test]
fn functions_and_files_can_be_read_in_one_sitting() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 450, "{} has {lines} lines", path.display());
        for (number, line) in text.lines().enumerate() {
            assert!(line.chars().count() <= 100, "{}:{} is too wide", path.display(), number + 1);
        }
        let mut start = None;
        for (number, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let is_function = line.contains("fn ") && (line.ends_with('{') || line.ends_with('('));
            if is_function && start.is_none() {
                start = Some((number, indent));
            } else if let Some((first, depth)) = start {
                if line.trim_end() == format!("{}}}", " ".repeat(depth)) {
                    let length = number - first + 1;
                    assert!(length <= 70, "{}:{} has {length} lines", path.display(), first + 1);
                    start = None;
                }
            }
        }
    }
}
